"""Replies beside a bulk load, in real worker processes: ten thousand messages waiting must not keep one customer waiting."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests import factories
from tests.journeys.crew import crew, wait_for
from tests.services.outbox import inside, make_conversations, make_number, make_waiting, read
from tests.services.sandboxes import PHONE_NUMBER_ID, TOKEN, WABA, sandbox
from whatalker.queues import BULK, Job, ring
from whatalker.services import composing

pytestmark = [pytest.mark.usefixtures("app_context"), pytest.mark.slow]


def test_replies_leave_within_two_seconds_while_ten_thousand_wait(
    app: Flask, people: factories.People, environment: dict[str, str], tmp_path: Path,
    owner_connection: psycopg.Connection[Any],
) -> None:  # fmt: skip
    number = make_number(
        people.organization, channel="whatsapp", external_id=PHONE_NUMBER_ID, business_id=WABA,
        credentials={"access_token": TOKEN}, throughput=1000,
    )  # fmt: skip
    crowd = make_conversations(number, 10_000)
    make_waiting(crowd, lane="bulk")
    callers = make_conversations(number, 12)

    def sent(lane: str) -> int:
        row = owner_connection.execute("select count(*) from message where lane = %s and status = 'sent'", (lane,)).fetchone()
        return int(row[0]) if row else 0

    with sandbox("--latency-ms", "50") as provider:
        provider.ask("POST", "/_sandbox/bulk", {})
        with crew(environment, tmp_path, WHATSAPP_API_BASE=f"{provider.address}/v23.0") as running:
            for lane in ("interactive", "bulk"):
                running.start_whatalker(lane, "work", lane)
            running.start_whatalker("upkeep", "upkeep")
            ring(BULK, Job.DISPATCH, str(number.organization_id), str(number.id), BULK)
            assert wait_for(lambda: sent("bulk") > 200, 90), running.log("bulk")
            asked = []
            for conversation in callers:
                with inside(number):
                    asked.append(composing.queue_message(people.agent, conversation, "text", {"text": "Here I am."}).id)
                time.sleep(0.3)
            assert wait_for(lambda: sent("interactive") == len(callers), 20), running.log("interactive")
            still_waiting = 10_000 - sent("bulk")
            ends = running.stop()
    waited = [message.sent_at - message.created_at for message in read(number, *asked) if message.sent_at]
    assert still_waiting > 0, "the bulk load was over before the replies were measured"
    assert max(waited) < timedelta(seconds=2), sorted(waited)[-3:]
    assert set(ends.values()) == {0}, ends
