"""Batches, leases and workers: constant statements, nothing twice, nothing lost when a worker is killed, no bad call costs another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Self

import pytest
from flask import Flask
from sqlalchemy import event, text

from tests import factories
from tests.services.provider_calls import (
    all_of,
    call_states,
    due_now,
    make_number,
    make_sent,
    message,
    store,
    take_in,
    tick,
)
from whatalker import models as m
from whatalker.db import db, session, transaction
from whatalker.jobs.intake import apply_calls, intake
from whatalker.services import collecting


@pytest.fixture
def number(app_context: None) -> m.ChannelAccount:
    return make_number(factories.make_organization())


class Statements:
    """Counts what is sent to the database."""

    def __enter__(self) -> Self:
        self.count = 0
        event.listen(db.engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *error: object) -> None:
        event.remove(db.engine, "before_cursor_execute", self._note)

    def _note(self, *_args: object) -> None:
        self.count += 1


def conversation_calls(first: int, count: int) -> list[Any]:
    people = [f"57300{first + n:07}" for n in range(count)]
    return [message(f"words {person}", sender=person) for person in people]


def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(number: Any) -> None:
    organization_id = number.organization_id
    contact = factories.make_contact(m.Organization(id=organization_id))
    conversation = factories.make_conversation(m.Organization(id=organization_id), contact=contact, channel_account=number)
    for n in range(400):
        make_sent(conversation, f"wamid.N{n}")
    counts = []
    for first, size in ((0, 1), (1000, 200)):
        store(*conversation_calls(first, size), *(tick(f"wamid.N{first % 7 + n}", "read") for n in range(size)))
        with transaction():
            calls = collecting.claim_calls()
        with Statements() as statements:
            apply_calls(calls)
        counts.append(statements.count)
    assert counts[0] == counts[1] < 40
    assert call_states() == {"done": 402}


def test_two_intake_workers_at_once_apply_everything_once(app: Flask, number: Any) -> None:
    calls = conversation_calls(0, 40)
    store(*(calls * 5), *(message(f"again {n}", sender=f"57300{n % 40:07}") for n in range(100)))
    faults: list[BaseException] = []

    def work() -> None:
        with app.app_context():
            try:
                while True:
                    with transaction():
                        claimed = collecting.claim_calls(17)
                    if not claimed:
                        return
                    apply_calls(claimed)
            except BaseException as fault:
                faults.append(fault)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not faults
    assert len(all_of(m.Message, number.organization_id)) == 140
    assert len(all_of(m.Conversation, number.organization_id)) == len(all_of(m.Contact, number.organization_id)) == 40
    assert sum(row.unread_count for row in all_of(m.Conversation, number.organization_id)) == 140
    assert call_states() == {"done": 300}


def test_one_bad_call_costs_no_other(number: Any) -> None:
    bad = [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"object": 1}', b"null", b'"\\ud800"', b"1" * 5_000]
    good = conversation_calls(0, 5)
    take_in(good[0], *bad[:4], good[1], good[2], *bad[4:], good[3], good[4])
    assert len(all_of(m.Message, number.organization_id)) == 5
    assert call_states() == {"done": 5, "unreadable": len(bad)}
    with transaction():
        assert all(call.note for call in session.query(m.WebhookCall).filter_by(state="unreadable"))


def test_a_call_that_the_database_refuses_is_found_and_the_others_are_applied(number: Any, owner_connection: Any) -> None:
    organization_id = number.organization_id
    owner_connection.execute(
        "create function refuse_poison() returns trigger language plpgsql as $$ begin"
        " if new.text = 'poison' then raise exception 'no'; end if; return new; end $$;"
        "create trigger poison before insert on message for each row execute function refuse_poison()"
    )
    try:
        calls = conversation_calls(0, 6)
        take_in(*calls[:3], message("poison"), *calls[3:])
        assert len(all_of(m.Message, organization_id)) == 6
        assert call_states() == {"done": 6, "parked": 1}  # the fault may pass: it is tried again
        for _try in range(3):
            due_now()
            intake()
        assert call_states() == {"done": 6, "unreadable": 1}
        assert len(all_of(m.Contact, organization_id)) == 6  # nothing of it is stored half
    finally:
        owner_connection.execute("drop function refuse_poison() cascade")


def test_claimed_calls_come_back_when_their_worker_is_gone(number: Any) -> None:
    store(message())
    with transaction():
        assert len(collecting.claim_calls()) == 1
        assert not collecting.claim_calls() and not collecting.is_due()
    assert call_states() == {"claimed": 1}
    with transaction():
        session.execute(text("update webhook_call set available_at = now() - interval '1 second'"))
        assert collecting.is_due()
    intake()
    assert call_states() == {"done": 1}


KILLED = """
from whatalker import create_app
from whatalker.jobs.intake import apply_calls
from whatalker.db import transaction
from whatalker.services import collecting
app = create_app("config.TestConfig")
print("ready", flush=True)
with app.app_context():
    while True:
        with transaction():
            calls = collecting.claim_calls(20)
        if calls:
            apply_calls(calls)
"""


def test_kill_9_in_the_middle_loses_and_doubles_nothing(number: Any, environment: dict[str, str]) -> None:
    store(*conversation_calls(0, 600))
    for _kill in range(4):
        worker = subprocess.Popen(
            [sys.executable, "-c", KILLED], env=os.environ | environment, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(0.12)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        with transaction():  # the leases end
            session.execute(text("update webhook_call set available_at = now() where state = 'claimed'"))
    intake()
    assert call_states() == {"done": 600}
    assert len(all_of(m.Message, number.organization_id)) == 600
    assert {row.unread_count for row in all_of(m.Conversation, number.organization_id)} == {1}
