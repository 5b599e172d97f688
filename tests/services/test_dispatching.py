"""The way of a message out: claimed, decided, called, settled; what is refused waits or ends, and each time it is written down why."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests import factories
from tests.services.outbox import (
    console,
    decisions,
    inside,
    make_conversations,
    make_number,
    make_waiting,
    read,
    run_outbox,
    sent_keys,
    timeline,
)
from whatalker import models as m
from whatalker.db import new_id, now, session
from whatalker.services import claiming, composing, deciding

pytestmark = pytest.mark.usefixtures("app_context")


@pytest.fixture
def number(people: factories.People, app_context: None) -> m.ChannelAccount:
    console().sent.clear()
    return make_number(people.organization)


def test_a_reply_is_sent_once_and_its_way_is_written_down(people: factories.People, number: m.ChannelAccount) -> None:
    conversation = factories.make_conversation(people.organization, channel_account=number)
    with inside(number):
        queued = composing.queue_message(people.agent, conversation, "text", {"text": "Here you are."})
    run_outbox(number)
    run_outbox(number)
    [message] = read(number)
    assert (message.status, message.provider_id) == ("sent", f"console.{message.id}:1")
    assert message.sent_at is not None and message.claim_token is None
    assert sent_keys() == [f"{queued.id}:1"]
    assert timeline(number, message.id) == ["queued", "sending", "accepted"]
    [decision] = decisions(number)
    assert (decision.verdict, decision.code, decision.id) == ("allow", "allowed", message.decision_id)


def test_every_decision_is_stored_and_recomputes_to_its_hash(people: factories.People, number: m.ChannelAccount) -> None:
    open_, closed, stopped = make_conversations(number, 3)
    with inside(number):
        session.execute(
            update(m.Conversation).where(m.Conversation.id == closed.id).values(window_expires_at=now() - timedelta(seconds=12))
        )
        identity = session.scalars(select(m.ContactIdentity).where(m.ContactIdentity.id == stopped.identity_id)).one()
        session.add(m.Suppression(organization_id=number.organization_id, channel="console", key=identity.canonical,
                                  purpose="all", source="keyword"))  # fmt: skip
    make_waiting([open_, closed, stopped])
    run_outbox(number)
    stored = decisions(number)
    assert sorted(decision.code for decision in stored) == ["allowed", "suppressed", "window_closed"]
    for decision in stored:
        again = deciding.replay(decision)
        assert (again.verdict, again.code, again.sentence) == (decision.verdict, decision.code, decision.sentence)
        assert again.trace_hash == decision.trace_hash
    by_code = {message.error_code: message for message in read(number)}
    assert by_code["window_closed"].status == by_code["suppressed"].status == "blocked"
    assert by_code["window_closed"].error_text == "The 24-hour window closed 12 s ago."
    assert timeline(number, by_code["suppressed"].id) == ["blocked"]
    assert len(sent_keys()) == 1


def test_a_decision_holds_nothing_personal(people: factories.People, number: m.ChannelAccount) -> None:
    conversation = factories.make_conversation(people.organization, channel_account=number)
    make_waiting([conversation])
    run_outbox(number)
    [decision] = decisions(number)
    assert set(decision.facts) <= {"at", "channel", "author_kind", "window_expires_at"}


def test_two_workers_send_once(app: Flask, number: m.ChannelAccount) -> None:
    make_waiting(make_conversations(number, 200))

    def one_worker() -> None:
        with app.app_context():
            run_outbox(number)

    workers = [threading.Thread(target=one_worker) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    run_outbox(number)
    assert len(sent_keys()) == len(set(sent_keys())) == 200
    assert {message.status for message in read(number)} == {"sent"}


def test_a_conversation_is_sent_in_order_with_one_message_on_its_way(people: factories.People, number: m.ChannelAccount) -> None:
    [conversation] = make_conversations(number, 1)
    ids = [make_waiting([conversation])[0] for _ in range(5)]
    with inside(number):
        claimed = claiming.claim(number.id, number.organization_id, "interactive", 10, now())
        assert [row.id for row in claimed] == [ids[0]]
        assert claiming.claim(number.id, number.organization_id, "interactive", 10, now()) == []
        assert claiming.claim(number.id, number.organization_id, "bulk", 10, now()) == []
        assert claiming.give_back(claimed, now()) == 1
    run_outbox(number)
    assert [outgoing.message_id for outgoing in console().sent] == ids


def test_a_message_waits_for_an_older_one_that_is_tried_again_soon(number: m.ChannelAccount) -> None:
    [conversation] = make_conversations(number, 1)
    [first], [second] = make_waiting([conversation]), make_waiting([conversation])
    soon, late = now() + timedelta(seconds=30), now() + timedelta(hours=5)
    for available_at, taken in ((soon, []), (late, [second])):
        with inside(number):
            session.execute(
                update(m.Message).where(m.Message.id == first).values(available_at=available_at, decision_id=new_id())
            )
            claimed = claiming.claim(number.id, number.organization_id, "interactive", 10, now())
            assert [row.id for row in claimed] == taken


def test_many_messages_to_one_contact_do_not_starve_the_others(number: m.ChannelAccount) -> None:
    flooded, other = make_conversations(number, 2)
    for _ in range(3):
        make_waiting([flooded] * 400)
    [id] = make_waiting([other])
    with inside(number):
        claimed = claiming.claim(number.id, number.organization_id, "interactive", 64, now())
    assert id in {row.id for row in claimed}
    assert len(claimed) == 2


def test_more_than_the_pair_rate_waits_its_turn(number: m.ChannelAccount) -> None:
    [conversation] = make_conversations(number, 1)
    for _ in range(46):
        make_waiting([conversation])
    run_outbox(number)
    *others, last = read(number)
    assert {message.status for message in others} == {"sent"}
    assert (last.status, last.attempt) == ("queued", 0)
    assert timedelta(seconds=200) < last.available_at - now() < timedelta(seconds=271)
    assert "later" in last.hold_reason


def test_a_message_on_a_stopped_number_waits_and_goes_when_it_is_resumed(number: m.ChannelAccount) -> None:
    [id] = make_waiting(make_conversations(number, 1))
    for state, status, told in (("needs_reauth", "queued", 1), ("needs_reauth", "queued", 1), ("active", "sent", 2)):
        with inside(number):
            session.execute(update(m.ChannelAccount).where(m.ChannelAccount.id == number.id).values(state=state))
        run_outbox(number)
        [message] = read(number, id)
        assert (message.status, len(decisions(number))) == (status, told)
        assert bool(message.hold_reason) == (status == "queued")


def test_past_its_last_moment_nothing_is_sent(number: m.ChannelAccount) -> None:
    [late] = make_waiting(make_conversations(number, 1), not_after=now() - timedelta(seconds=1))
    run_outbox(number)
    assert [(message.id, message.status) for message in read(number)] == [(late, "queued")]
    assert sent_keys() == []


def test_a_claim_that_was_lost_is_not_sent(number: m.ChannelAccount) -> None:
    from whatalker.services import gating

    make_waiting(make_conversations(number, 3))
    with inside(number):
        claimed = claiming.claim(number.id, number.organization_id, "interactive", 3, now())
        rulings = deciding.decide_and_store(claimed, now())
    taken_back, run_out, kept = claimed
    with inside(number):
        session.execute(update(m.Message).where(m.Message.id == taken_back.id).values(claim_token=uuid.uuid4()))
        session.execute(
            update(m.Message).where(m.Message.id == run_out.id).values(claimed_until=now() - timedelta(seconds=1))
        )
    with inside(number):
        assert [attempt.message.id for attempt in gating.open_gate(rulings, now())] == [kept.id]


def test_a_number_without_secrets_is_stopped_and_says_so(people: factories.People) -> None:
    number = make_number(people.organization, credentials={})
    make_waiting(make_conversations(number, 1))
    run_outbox(number)
    [message] = read(number)
    assert (message.status, message.hold_reason) == ("queued", "The number is stopped.")
    with inside(number):
        again = session.scalars(select(m.ChannelAccount).where(m.ChannelAccount.id == number.id)).one()
    assert (again.state, "access token" in again.state_reason) == ("stopped", True)
