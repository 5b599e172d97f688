"""Is it alive, may it get requests, how busy is it; its one rule: a probe never waits long and tells nothing of anyone.

Without the database, or before it is migrated, a process is not ready (503). Without Redis it is ready but degraded (200): messages
are stored and wait for the sweeper, pages poll instead of hearing at once.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from functools import cache
from typing import Any

from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, Response, abort, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from whatalker import metrics, queues
from whatalker.db import now, session
from whatalker.models import Message, WebhookCall
from whatalker.security import public
from whatalker.tenancy import across

pages = Blueprint("probes", __name__)


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)


@pages.get("/healthz")
@public("says only that the process answers")
def healthz() -> Response:
    return jsonify(status="ok")


@pages.get("/readyz")
@public("says only which parts of the system answer")
def readyz() -> tuple[Response, int]:
    parts = {"database": _database(), "redis": _redis()}
    ready = parts["database"] == "ok"
    status = "ok" if all(state == "ok" for state in parts.values()) else "degraded" if ready else "unavailable"
    return jsonify(status=status, ready=ready, parts=parts), 200 if ready else 503


def _database() -> str:
    try:
        session.execute(text("set local statement_timeout = '2s'"))
        versions = set(session.scalars(text("select version_num from alembic_version")))
    except SQLAlchemyError:
        session.rollback()
        return "unreachable or not set up"
    session.rollback()
    return "ok" if versions == set(_heads()) else "not migrated"


@cache
def _heads() -> tuple[str, ...]:
    folder = current_app.extensions["migrate"].directory
    return tuple(ScriptDirectory(str(folder)).get_heads())


def _redis() -> str:
    try:
        return "ok" if queues.redis().ping() else "unreachable"
    except RedisError:
        return "unreachable"


@pages.get("/metrics")
@public("read by Prometheus with METRICS_TOKEN, or from this machine itself; the view checks which")
def exposed_metrics() -> Response:
    if not _may_read_metrics():
        abort(404)
    return Response(metrics.exposition(Moment()), content_type=CONTENT_TYPE_LATEST)


def _may_read_metrics() -> bool:
    token = str(current_app.config.get("METRICS_TOKEN") or "")
    if token:
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
    # A proxy on this machine makes everybody look local; it says so in one of these.
    proxied = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"))
    return not proxied and request.remote_addr in ("127.0.0.1", "::1")


class Moment(Collector):
    """Queues, outbox and intake as they are when asked, over all organizations together."""

    def collect(self) -> Iterator[Metric]:
        yield _gauge("whatalker_queue_depth", "Jobs that wait, by queue.", "queue", _depths())
        outbox = _outbox()
        yield _gauge("whatalker_outbox_messages", "Messages by state of the outbox.", "state", outbox)
        waiting, lag = _intake()
        yield _gauge("whatalker_webhook_calls", "Stored provider calls by state, done ones left out.", "state", waiting)
        family = GaugeMetricFamily("whatalker_webhook_lag_seconds", "Age of the oldest provider call that waits.")
        family.add_metric([], lag)
        yield family


def _gauge(name: str, what: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family


def _depths() -> dict[str, float]:
    try:
        return {name: float(queues.queue(name).count) for name in queues.QUEUES}
    except RedisError:
        return {}


def _outbox() -> dict[str, float]:
    open_states = ("claimed", "sending", "unknown")
    with across("metrics: how many messages wait, over all organizations"):
        counted: dict[Any, Any] = dict(
            session.execute(
                select(Message.status, func.count()).where(Message.status.in_(open_states)).group_by(Message.status)
            ).all()  # type: ignore[arg-type]
        )
        due = session.scalar(
            select(func.count()).where(Message.status == "queued", Message.available_at <= now()).select_from(Message)
        )
    return {"due": float(due or 0)} | {state: float(counted.get(state, 0)) for state in open_states}


def _intake() -> tuple[dict[str, float], float]:
    rows = session.execute(
        select(WebhookCall.state, func.count(), func.min(WebhookCall.received_at))
        .where(WebhookCall.state != "done")
        .group_by(WebhookCall.state)
    ).all()
    oldest = min((first for state, _, first in rows if state in ("waiting", "claimed") and first), default=None)
    return {state: float(count) for state, count, _ in rows}, (now() - oldest).total_seconds() if oldest else 0.0
