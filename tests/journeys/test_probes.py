"""Alive, ready, busy: what probes and Prometheus are told, and who is told nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests import factories
from tests.factories import People
from tests.visiting import visit
from whatalker import queues
from whatalker.db import db


def _metrics(app: Flask, **options) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = app.test_client().get("/metrics", **options)
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_process_that_answers_is_alive(app: Flask) -> None:
    assert app.test_client().get("/healthz").json == {"status": "ok"}


def test_ready_names_each_part(app: Flask) -> None:
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "ready": True, "parts": {"database": "ok", "redis": "ok"}})


def test_without_redis_it_is_degraded_and_still_ready(app: Flask) -> None:
    real = app.extensions["redis"]
    app.extensions["redis"] = Redis(host="127.0.0.1", port=9, socket_connect_timeout=0.2)
    try:
        answer = app.test_client().get("/readyz")
        assert (answer.status_code, answer.json["status"], answer.json["parts"]["redis"]) == (200, "degraded", "unreachable")
        assert app.test_client().get("/metrics").status_code == 200
    finally:
        app.extensions["redis"] = real


def test_a_database_that_is_not_migrated_is_not_ready(app: Flask, owner_connection) -> None:
    owner_connection.execute("update alembic_version set version_num = '0000'")
    try:
        answer = app.test_client().get("/readyz")
        assert (answer.status_code, answer.json["parts"]["database"]) == (503, "not migrated")
    finally:
        owner_connection.execute("update alembic_version set version_num = %s", (_head(app),))


def _head(app: Flask) -> str:
    with app.app_context():
        from whatalker.web.probes import _heads

        return _heads()[0]


def test_without_the_database_it_is_not_ready_and_pages_say_so(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    with app.app_context():
        engine, real = db.engine, db.engine.pool
        engine.pool = real.recreate()
        engine.pool._creator = _refused  # type: ignore[assignment]
        try:
            answer = app.test_client().get("/readyz")
            page = client.get("/account/")
        finally:
            engine.pool = real
    assert (answer.status_code, answer.json["ready"]) == (503, False)
    assert page.status_code == 503 and "Traceback" not in page.text


def _refused(*args: object) -> None:
    import psycopg

    raise psycopg.OperationalError("connection refused")


@pytest.mark.parametrize("token", ["", "a-token-of-the-operator"])
def test_metrics_are_for_this_machine_or_whoever_has_the_token(app: Flask, token: str, monkeypatch) -> None:
    monkeypatch.setitem(app.config, "METRICS_TOKEN", token)
    client = app.test_client()
    local, remote = {"REMOTE_ADDR": "127.0.0.1"}, {"REMOTE_ADDR": "198.51.100.7"}
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/metrics", environ_base=remote).status_code == 404
    assert client.get("/metrics", environ_base=local).status_code == (404 if token else 200)
    assert client.get("/metrics", environ_base=remote, headers=bearer).status_code == (200 if token else 404)
    assert client.get("/metrics", environ_base=local, headers={"X-Forwarded-For": "198.51.100.7"}).status_code == 404
    assert client.get("/metrics", environ_base=remote, headers={"Authorization": "Bearer wrong"}).status_code == 404


def test_metrics_count_requests_by_route_queues_and_the_outbox(app: Flask, people: People) -> None:
    with app.app_context():
        for organization in (people.organization, people.elsewhere):
            conversation = factories.make_conversation(organization)
            factories.make_message(conversation, "out", status="queued")
            factories.make_message(conversation, "out", status="unknown")
        queues.queue("bulk").enqueue("whatalker.jobs.dispatch.dispatch")
    visit(app, people.agent).get("/account/")
    found = _metrics(app)
    assert found[("whatalker_outbox_messages", (("state", "due"),))] == 2
    assert found[("whatalker_outbox_messages", (("state", "unknown"),))] == 2
    assert found[("whatalker_queue_depth", (("queue", "bulk"),))] == 1
    assert found[("whatalker_http_request_seconds_count", (("method", "GET"), ("route", "/account/"), ("status", "2xx")))] >= 1


def test_no_label_tells_an_organization_or_a_person(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    client.get("/account/"), client.get(f"/inbox/{people.organization.id}"), client.get("/nowhere/573001234567")
    text = app.test_client().get("/metrics").text
    for private in (str(people.organization.id), str(people.agent.user_id), people.organization.name, "573001234567", "nowhere"):
        assert private not in text


def test_several_processes_of_a_host_are_counted_together(environment, tmp_path) -> None:
    count = (
        "from whatalker import create_app; app = create_app('config.TestConfig');"
        "[app.test_client().get('/healthz') for _ in range(3)];"
        "print(app.test_client().get('/metrics').text)"
    )
    values = os.environ | environment | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", count], env=values, check=True, capture_output=True)
    second = subprocess.run([sys.executable, "-c", count], env=values, check=True, capture_output=True, text=True)
    line = 'whatalker_http_request_seconds_count{method="GET",route="/healthz",status="2xx"} 6.0'
    assert line in second.stdout
