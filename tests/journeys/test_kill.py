"""Fifty kill -9 over two thousand messages, with a provider that fails: nothing lost, nothing lowered, nothing sent twice on a guess.

The judges are outside the product: the sandbox's ledger of what it accepted, and a log of every status change that a trigger keeps.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests import factories
from tests.journeys.crew import Crew, crew, free_port, wait_for
from tests.services.outbox import make_conversations, make_number, make_waiting
from tests.services.sandboxes import PHONE_NUMBER_ID, TOKEN, WABA, Provider, sandbox
from whatalker import models as m
from whatalker.embedded import Servers
from whatalker.models.message import MOVES

pytestmark = [pytest.mark.usefixtures("app_context"), pytest.mark.slow]

MARKETING, UTILITY, REPLIES = 700, 700, 600
FEW, MORE = 120, (70, 70, 60)
"""A fast machine is given more to do when few are left, so that every kill falls on work."""
VICTIMS = ["horse"] * 26 + ["valkey"] * 10 + ["bulk"] * 5 + ["interactive"] * 4 + ["upkeep"] * 5
STEP = 20
"""Messages that are settled between two kills, where the processes come up fast enough for that."""

OPEN = "status in ('queued', 'claimed', 'sending') or (status = 'unknown' and claimed_until is not null)"

STATUS_LOG = """
create table status_log (id bigserial, message_id uuid, before text, after text);
grant all on status_log, status_log_id_seq to public;
create function log_status() returns trigger language plpgsql as $$
begin insert into status_log (message_id, before, after) values (old.id, old.status, new.status); return null; end $$;
create trigger log_status after update of status on message for each row
  when (old.status is distinct from new.status) execute function log_status();
"""


def test_fifty_kills_lose_nothing_and_send_nothing_twice_on_a_guess(
    app: Flask, people: factories.People, environment: dict[str, str], servers: Servers, tmp_path: Path,
    owner_connection: psycopg.Connection[Any],
) -> None:  # fmt: skip
    number = make_number(
        people.organization, channel="whatsapp", external_id=PHONE_NUMBER_ID, business_id=WABA,
        credentials={"access_token": TOKEN}, throughput=250,
    )  # fmt: skip
    templates = make_templates(people, number)
    classes = queue(number, templates, MARKETING, UTILITY, REPLIES)
    port = free_port()
    owner_connection.execute(STATUS_LOG)
    try:
        with sandbox(
            "--callback", f"http://127.0.0.1:{port}/callbacks/whatsapp", "--app-secret", environment["WHATSAPP_APP_SECRET"],
            "--verify-token", environment["WHATSAPP_VERIFY_TOKEN"],
        ) as provider:  # fmt: skip
            misbehave(provider)
            settings = {
                "WHATSAPP_API_BASE": f"{provider.address}/v23.0", "CLAIM_LEASE_SECONDS": "4", "SENDING_LEASE_SECONDS": "6",
                "UNKNOWN_WAIT_SECONDS": "4",
            }  # fmt: skip
            with crew(environment, tmp_path, **settings) as running:
                running.start_web(port)
                for lane in ("interactive", "bulk", "intake"):
                    running.start_whatalker(lane, "work", lane)
                running.start_whatalker("upkeep", "upkeep")
                killed = kill_fifty(
                    running,
                    servers,
                    lambda: count(owner_connection, OPEN),
                    lambda: classes.update(queue(number, templates, *MORE)),
                )
                calm_down(provider)
                settled = wait_for(lambda: keep(running, servers) and not count(owner_connection, OPEN), 90, 0.3)
                assert settled, (
                    statuses(owner_connection),
                    {role: running.log(role)[-800:] for role in running.running},
                )
                provider.ask("POST", "/_sandbox/flush", {"timeout_s": 20})
                assert wait_for(lambda: keep(running, servers) and not unread(owner_connection), 60), (
                    "news was left unread"
                )
            accepted = provider.accepted()
        assert sum(killed.values()) == 50, killed
        judge(owner_connection, accepted, classes)
    finally:
        owner_connection.execute("drop table status_log cascade; drop function log_status() cascade")


def make_templates(people: factories.People, number: m.ChannelAccount) -> tuple[m.Template, m.Template]:
    """One for news a person waits for, one for advertising."""
    utility = factories.make_template(people.organization, number, name="hello_world")
    offer = factories.make_template(
        people.organization, number, name="hello_world", language="pt_BR", category="MARKETING"
    )
    return utility, offer


def queue(
    number: m.ChannelAccount, templates: tuple[m.Template, m.Template], marketing: int, utility: int, replies: int
) -> dict[str, str]:
    """Messages that wait, each to a person of its own: what class each one is."""
    content = {"name": "hello_world", "language": "en_US", "header": None, "body": [], "buttons": []}
    template = {"kind": "template", "content": content, "lane": "bulk"}
    conversations = make_conversations(number, marketing + utility + replies)
    parts = {
        "marketing": make_waiting(
            conversations[:marketing], purpose="marketing", template_id=templates[1].id, **template
        ),
        "transactional": make_waiting(
            conversations[marketing : marketing + utility],
            purpose="transactional",
            template_id=templates[0].id,
            **template,
        ),
        "service_reply": make_waiting(conversations[marketing + utility :]),
    }
    return {str(id): purpose for purpose, ids in parts.items() for id in ids}


def misbehave(provider: Provider) -> None:
    provider.behaves(window="off", batch=20, batch_wait_ms=100, delivered_ms=50, read_ms=100)
    provider.faults(
        seed=11, latency_ms=[5, 60], rate_429=0.005, error_before=0.02, error_after=0.02, reset_before=0.02, reset_after=0.02,
        malformed=0.02, hang=0.003, hang_after=0.003, hang_ms=2_000, webhook_duplicate=0.1, webhook_shuffle=0.2,
        webhook_hold_ms=200,
    )  # fmt: skip


def calm_down(provider: Provider) -> None:
    provider.ask("DELETE", "/_sandbox/faults")


def kill_fifty(running: Crew, servers: Servers, open_: Callable[[], int], more: Callable[[], None]) -> Counter[str]:
    """One kill after another, each after a little progress, so that all fifty fall while there is work."""
    dice = random.Random(3)
    victims = VICTIMS.copy()
    dice.shuffle(victims)
    killed: Counter[str] = Counter()
    left = open_()
    for victim in victims:
        wait_for(lambda: keep(running, servers) and left - open_() >= STEP, 1.5)
        if open_() < FEW:
            more()
        left = open_()
        if victim == "valkey":
            servers.valkey.process.kill()  # type: ignore[union-attr]
            servers.valkey.process.wait()  # type: ignore[union-attr]
            time.sleep(dice.uniform(0, 0.5))
        elif victim == "horse":
            lanes = ["bulk", "bulk", "interactive"]
            killed[victim] += wait_for(
                lambda: keep(running, servers) and running.kill_horse(dice.choice(lanes)), 60, 0.01
            )
            continue
        else:
            running.kill(victim)
        killed[victim] += 1
    keep(running, servers)
    return killed


def keep(running: Crew, servers: Servers) -> bool:
    """What the supervisor does: whoever is gone is started again."""
    servers.revive()
    running.keep()
    return True


def count(connection: psycopg.Connection[Any], which: str) -> int:
    row = connection.execute(f"select count(*) from message where {which}").fetchone()
    return int(row[0]) if row else 0


def statuses(connection: psycopg.Connection[Any]) -> dict[str, int]:
    return dict(connection.execute("select status, count(*) from message group by 1").fetchall())


def unread(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(
        "select count(*) from webhook_call where state in ('waiting', 'claimed', 'parked')"
    ).fetchone()
    return int(row[0]) if row else 0


def judge(connection: psycopg.Connection[Any], accepted: list[dict[str, Any]], classes: dict[str, str]) -> None:
    """The product's rows against the provider's ledger."""
    now = {str(id): status for id, status in connection.execute("select id, status from message").fetchall()}
    reached: dict[str, list[str]] = defaultdict(list)
    for entry in accepted:
        reached[entry["key"].split(":")[0]].append(entry["key"])

    # Nothing lost: each is final or on its way at the provider, and unknown is left to marketing alone.
    assert now.keys() == classes.keys()
    assert set(now.values()) <= {"sent", "delivered", "read", "failed", "unknown"}, Counter(now.values())
    assert {classes[id] for id, status in now.items() if status == "unknown"} <= {"marketing"}
    assert [id for id in reached if now[id] not in ("delivered", "read", "sent")] == [], (
        "accepted, told us so, and not recorded"
    )
    assert [id for id, status in now.items() if status in ("sent", "delivered", "read") and id not in reached] == []

    # Nothing twice, unless the first outcome was unknown and its class allows it.
    unknown_first = {
        str(row[0]) for row in connection.execute("select distinct message_id from message_event where kind = 'resent'")
    }
    twice = {id for id, keys in reached.items() if len(keys) > 1}
    assert twice <= unknown_first, twice - unknown_first
    assert {classes[id] for id in twice} <= {"transactional", "service_reply"}
    assert all(len(set(keys)) == len(keys) for keys in reached.values()), "one attempt was called twice"

    # No status ever went down.
    for before, after, times in connection.execute(
        "select before, after, count(*) from status_log group by 1, 2"
    ).fetchall():
        assert after in MOVES[before], (before, after, times)
        assert before not in ("sent", "delivered", "read") or after in ("delivered", "read"), (before, after, times)

    # Every attempt had an allowing decision before it.
    undecided = connection.execute(
        "select count(*) from message_event e where e.kind = 'sending' and not exists (select from send_decision d"
        " where d.message_id = e.message_id and d.verdict = 'allow' and d.decided_at <= e.at)"
    ).fetchone()
    assert undecided == (0,)
