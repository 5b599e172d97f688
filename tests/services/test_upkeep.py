"""The sweeper's rounds, the bells and the border: what is lost is rung for again, and no error of a job goes further."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from sqlalchemy import update

from tests import factories
from tests.services.outbox import console, inside, make_conversations, make_number, make_waiting, read
from whatalker import models as m
from whatalker.db import now, session
from whatalker.errors import NotAllowed
from whatalker.jobs import upkeep
from whatalker.jobs.border import BorderedJob, guarded
from whatalker.queues import BULK, INTAKE, INTERACTIVE, Job, ListedJob, bell_of, hear, queue, redis, ring, waiting_bells
from whatalker.services.pacing import PROBE_SECONDS, TROUBLE, Pace

pytestmark = pytest.mark.usefixtures("app_context")


@pytest.fixture
def number(people: factories.People, app_context: None) -> m.ChannelAccount:
    console().sent.clear()
    return make_number(people.organization)


def test_a_lost_bell_is_rung_again_and_a_waiting_one_is_not(number: m.ChannelAccount) -> None:
    first, second = make_conversations(number, 2)
    make_waiting([first])
    make_waiting([second], lane="bulk")
    words = (str(number.organization_id), str(number.id))
    for _ in range(3):
        upkeep.ring_lanes()
    assert waiting_bells(INTERACTIVE) == {bell_of(Job.DISPATCH, *words, "interactive")}
    assert queue(INTERACTIVE).count == queue(BULK).count == 1
    redis().delete(*(queue(lane).key for lane in (INTERACTIVE, BULK)))  # the queue server forgot them; their marks stayed
    upkeep.ring_lanes()
    assert queue(INTERACTIVE).count == queue(BULK).count == 1


def test_nobody_is_rung_for_what_waits_for_an_admin_or_for_later(number: m.ChannelAccount) -> None:
    first, second = make_conversations(number, 2)
    make_waiting([first], available_at=now() + timedelta(minutes=1))
    make_waiting([second], hold_reason="The number is stopped.")
    with inside(number):
        session.execute(update(m.ChannelAccount).values(state="stopped"))
    upkeep.ring_lanes()
    assert queue(INTERACTIVE).count == 0
    with inside(number):
        session.execute(update(m.ChannelAccount).values(state="active"))
    upkeep.ring_lanes()
    assert queue(INTERACTIVE).count == 1


def test_a_bell_rings_once_until_it_is_heard_and_a_dead_worker_does_not_silence_it(number: m.ChannelAccount) -> None:
    words = (str(number.organization_id), str(number.id), "interactive")
    for _ in range(5):
        assert ring(INTERACTIVE, Job.DISPATCH, *words)
    [job_id] = queue(INTERACTIVE).job_ids
    hear(job_id)  # a worker began it, and was killed: RQ keeps the job, and its id, for an hour
    redis().lpop(queue(INTERACTIVE).key)
    ring(INTERACTIVE, Job.DISPATCH, *words)
    assert queue(INTERACTIVE).count == 1 and queue(INTERACTIVE).job_ids != [job_id]


def test_the_intake_is_rung_for_calls_nobody_took(number: m.ChannelAccount) -> None:
    upkeep.ring_intake()
    assert queue(INTAKE).count == 0
    with inside(number):
        session.add(m.WebhookCall(provider="whatsapp", body=b"{}"))
    upkeep.ring_intake()
    upkeep.ring_intake()
    assert queue(INTAKE).count == 1


@pytest.fixture
def queue_server_away(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "redis", Redis.from_url("redis://127.0.0.1:9", socket_connect_timeout=0.2))
    monkeypatch.setitem(app.extensions, "pacing", None)  # made anew over that one, and forgotten afterwards


def test_without_the_queue_server_replies_go_out_and_bulk_waits(number: m.ChannelAccount, queue_server_away: None) -> None:
    one, other = make_conversations(number, 2)
    [reply], [offer] = make_waiting([one]), make_waiting([other], lane="bulk")
    upkeep.ring_lanes()
    assert {message.id: message.status for message in read(number)} == {reply: "sent", offer: "queued"}
    upkeep.beat()


def test_without_the_queue_server_replies_keep_a_safe_rate(number: m.ChannelAccount, queue_server_away: None) -> None:
    pace = Pace.of(number.id, 1000)
    assert pace.take("interactive", 100) == 10
    assert pace.take("interactive", 100) == pace.take("bulk", 100) == 0


def test_bulk_leaves_room_for_replies(number: m.ChannelAccount) -> None:
    pace = Pace.of(number.id, 100)
    assert pace.take("bulk", 500) == 80
    assert pace.take("bulk", 500) == 0
    assert pace.take("interactive", 500) == 15  # of a rate of 100 we use 95: their second and ours begin at different moments
    assert pace.take("interactive", 500) == 0


def test_refusals_of_one_moment_halve_the_rate_once(number: m.ChannelAccount) -> None:
    pace = Pace.of(number.id, 100)
    for _ in range(20):
        pace.slow_down()
    assert 46 <= pace.room("interactive", 500) <= 55


def test_a_provider_that_does_not_answer_is_asked_by_one_call_at_a_time(number: m.ChannelAccount) -> None:
    pace = Pace.of(number.id, 100)
    pace.note_answers(False, TROUBLE)
    assert (pace.room("bulk", 50), pace.take("bulk", 50), pace.room("bulk", 50), pace.take("interactive", 50)) == (1, 1, 0, 0)
    assert 0 < redis().ttl(f"pace:probe:{number.id}") <= PROBE_SECONDS
    pace.note_answers(True, 0)
    assert pace.take("bulk", 50) == 50


def test_an_error_ends_at_the_border(caplog: pytest.LogCaptureFixture) -> None:
    def break_() -> None:
        raise ZeroDivisionError

    assert guarded("test.break", break_) is False
    assert guarded("test.pass", list) is True

    def take_too_long() -> None:
        raise JobTimeoutException

    with pytest.raises(JobTimeoutException):
        guarded("test.slow", take_too_long)


def test_a_job_that_is_not_listed_is_not_run(app: Flask, tmp_path: Any) -> None:
    proof = tmp_path / "proof"
    waiting = queue(INTERACTIVE)
    waiting.enqueue("os.system", f"touch {proof}", job_id="evil-1")
    worker = SimpleWorker([waiting], connection=redis(), job_class=BorderedJob, serializer=JSONSerializer)
    worker.work(burst=True, logging_level="CRITICAL")
    assert not proof.exists()
    with pytest.raises(NotAllowed):
        _ = ListedJob.create("os.system", connection=redis(), serializer=JSONSerializer).func


def test_a_round_of_everything_with_nothing_to_do() -> None:
    for entry in upkeep.make_schedule():
        entry.work()
