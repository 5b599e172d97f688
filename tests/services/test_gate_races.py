"""Opt-outs, blocks and suspensions that commit while messages pass the gate: none may be followed by the beginning of a send."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests import factories
from tests.services.outbox import console, make_conversations, make_number, make_waiting, run_outbox
from whatalker import models as m
from whatalker.db import new_id
from whatalker.embedded import Servers

pytestmark = pytest.mark.usefixtures("app_context")

TRIES = 2_100


def test_no_send_begins_after_a_stop_has_committed(
    app: Flask, people: factories.People, servers: Servers, owner_connection: psycopg.Connection[Any]
) -> None:
    """Each contact says stop at a moment of its own while the outbox runs; PostgreSQL's own commit order is the judge."""
    number = make_number(people.organization, throughput=100_000)
    make_waiting(make_conversations(number, TRIES), purpose="marketing", lane="bulk")
    keys = owner_connection.execute(
        "select c.id, i.canonical from conversation c join contact_identity i on i.id = c.identity_id order by random()"
    ).fetchall()
    stopped_before_sending: list[Any] = []
    console().sent.clear()
    threads = [
        threading.Thread(target=say_stop, args=(servers, number.organization_id, keys[part::3], stopped_before_sending))
        for part in range(3)
    ]
    threads += [threading.Thread(target=send_bulk, args=(app, number)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(20):
        run_outbox(number, "bulk")
        left = owner_connection.execute("select count(*) from message where status in ('queued', 'claimed')").fetchone()
        if left == (0,):
            break
        time.sleep(0.4)
    begun = {
        row[0]
        for row in owner_connection.execute(
            "select m.conversation_id from message m join message_event e on e.message_id = m.id where e.kind = 'sending'"
        )
    }
    statuses = dict(owner_connection.execute("select status, count(*) from message group by 1").fetchall())
    assert set(statuses) == {"sent", "blocked"}, statuses
    assert min(statuses.values()) > 50, f"the race was one-sided: {statuses}"
    assert not begun & set(stopped_before_sending)
    assert len(console().sent) == statuses["sent"]


def say_stop(servers: Servers, organization: Any, part: list[Any], stopped_before_sending: list[Any]) -> None:
    dice = random.Random(len(part))
    with psycopg.connect(servers.postgres.superuser + " dbname=tests", autocommit=True) as connection:
        for conversation, key in part:
            connection.execute(
                "insert into suppression (organization_id, id, channel, key, purpose, source, evidence, since, lifted_by)"
                " values (%s, %s, 'console', %s, 'marketing', 'test', '', now(), '')",
                (organization, new_id(), key),
            )
            # The stop has committed. Whatever has not begun by now must never begin.
            status = connection.execute("select status from message where conversation_id = %s", (conversation,)).fetchone()
            if status and status[0] in ("queued", "claimed"):
                stopped_before_sending.append(conversation)
            time.sleep(dice.random() / 2_000)


def send_bulk(app: Flask, number: m.ChannelAccount) -> None:
    with app.app_context():
        run_outbox(number, "bulk")


def test_no_send_begins_after_a_suspension_has_committed(
    app: Flask, people: factories.People, servers: Servers, owner_connection: psycopg.Connection[Any]
) -> None:
    through = stopped = 0
    for round_ in range(12):
        number = make_number(people.organization, throughput=100_000)
        ids = make_waiting(make_conversations(number, 40))

        begun: set[Any] = set()

        def suspend(begun: set[Any] = begun, pause: float = round_ * 0.006) -> None:
            time.sleep(0.02 + pause)
            owner_connection.execute("update organization set standing = 'suspended' where id = %s", (people.organization.id,))
            begun.update(
                row[0] for row in owner_connection.execute("select message_id from message_event where kind = 'sending'")
            )

        def send(number: m.ChannelAccount = number) -> None:
            with app.app_context():
                run_outbox(number)

        threads = [threading.Thread(target=suspend), threading.Thread(target=send)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.35)
        run_outbox(number)
        begun_later = {
            row[0] for row in owner_connection.execute("select message_id from message_event where kind = 'sending'")
        }
        assert begun_later == begun, "a message was begun after the suspension"
        through += len(begun & set(ids))
        stopped += len(set(ids) - begun)
        owner_connection.execute("update organization set standing = 'active' where id = %s", (people.organization.id,))
    assert through + stopped == 12 * 40
    assert stopped > 40
