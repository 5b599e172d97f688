"""Worker and upkeep processes as production runs them: they end together, they end cleanly, and one takes over from another."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests import factories
from tests.journeys.crew import crew, wait_for
from tests.services.outbox import make_conversations, make_number, make_waiting, read
from tests.services.sandboxes import PHONE_NUMBER_ID, TOKEN, WABA, sandbox
from whatalker.jobs.upkeep import BEAT
from whatalker.processes import children_of, is_running
from whatalker.queues import INTERACTIVE, Job, redis, ring

pytestmark = [pytest.mark.usefixtures("app_context"), pytest.mark.slow]


def test_a_killed_worker_takes_its_horse_along_and_its_work_is_taken_up(
    app: Flask, people: factories.People, environment: dict[str, str], tmp_path: Path
) -> None:
    number = make_number(
        people.organization, channel="whatsapp", external_id=PHONE_NUMBER_ID, business_id=WABA,
        credentials={"access_token": TOKEN},
    )  # fmt: skip
    make_waiting(make_conversations(number, 3))
    settings = {"CLAIM_LEASE_SECONDS": "3", "SENDING_LEASE_SECONDS": "4", "UNKNOWN_WAIT_SECONDS": "2"}
    with sandbox() as provider:
        provider.behaves(window="off")
        provider.faults(hang_ms=20_000, next=[{"do": "hang", "times": 3}])
        with crew(environment, tmp_path, WHATSAPP_API_BASE=f"{provider.address}/v23.0", **settings) as running:
            running.start_whatalker("interactive", "work", "interactive")
            ring(INTERACTIVE, Job.DISPATCH, str(number.organization_id), str(number.id), INTERACTIVE)
            worker = running.running["interactive"].pid
            assert wait_for(lambda: {x.status for x in read(number)} == {"sending"}, 60), running.log("interactive")
            [horse] = children_of(worker)
            running.kill("interactive")
            assert wait_for(lambda: not is_running(horse), 5), "the horse outlived its worker"
            running.keep()
            running.start_whatalker("upkeep", "upkeep")
            assert wait_for(lambda: {x.status for x in read(number)} == {"sent"}, 60), running.log("upkeep")
            assert set(running.stop().values()) == {0}
    assert {message.attempt for message in read(number)} == {2}


def test_one_upkeep_is_active_and_another_takes_over(
    app: Flask, environment: dict[str, str], tmp_path: Path, owner_connection: psycopg.Connection[Any]
) -> None:
    def active() -> int:
        return int(json.loads(redis().get(BEAT) or b"{}").get("pid", 0))  # type: ignore[arg-type]

    with crew(environment, tmp_path) as running:
        for role in ("first", "second"):
            running.start_whatalker(role, "upkeep")
        assert wait_for(lambda: active() != 0, 60), running.log("first")
        roles = {process.pid: role for role, process in running.running.items()}
        first = roles[active()]
        assert wait_for(lambda: "upkeep_active" in running.log(first), 5)
        time.sleep(2)
        [other] = {"first", "second"} - {first}
        assert "upkeep_active" not in running.log(other)
        running.kill(first)
        assert wait_for(lambda: active() == running.running[other].pid, 60), running.log(other)
        running.running.pop(first)
        assert running.stop() == {other: 0}
