"""The sweeper and the schedule, one process active at a time; its one rule: it only finds and rings, others do the work.

Whatever a doorbell, a worker, the queue server or a provider lost, the rows still say, and here they are looked through.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from whatalker import access
from whatalker import models as m
from whatalker.db import db, now, session, transaction
from whatalker.jobs.border import guarded, is_stopping, stop_on_sigterm
from whatalker.jobs.dispatch import dispatch
from whatalker.queues import BULK, DEFAULT, INTAKE, INTERACTIVE, Job, bell_of, redis, ring, waiting_bells
from whatalker.services import collecting, conversing, fetching, recovering
from whatalker.services.diagnosing import UPKEEP_LOCK
from whatalker.tenancy import across, as_organization

log = structlog.get_logger(__name__)

BEAT = "upkeep:beat"
"""The Redis key under which the active one says that it lives; it is gone half a minute after its last round."""


@dataclass(slots=True)
class Entry:
    """Something done again and again; `every` in seconds. Its first time is at once, unless `later`."""

    every: float
    work: Callable[[], None]
    later: bool = False
    due_at: float = field(default=0.0)


def run() -> None:
    """Keep the schedule until SIGTERM; of several, on any hosts, the one that holds the lock. Needs an application context."""
    stop_on_sigterm()
    while not is_stopping():
        try:
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                if connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": UPKEEP_LOCK}):
                    log.info("upkeep_active")
                    _keep(connection)
        except DBAPIError as error:
            log.warning("upkeep_without_database", error=type(error).__name__)
        if not is_stopping():
            time.sleep(1)


def _keep(connection: Connection) -> None:
    """Round after round, as long as the lock is ours: with the connection it is lost, and somebody else has it."""
    schedule = make_schedule()
    begun = time.monotonic()
    for entry in schedule:
        entry.due_at = begun + entry.every if entry.later else begun
    while not is_stopping():
        connection.scalar(text("select 1"))
        for entry in schedule:
            if entry.due_at <= time.monotonic() and not is_stopping():
                guarded(f"upkeep.{entry.work.__name__}", entry.work)
                entry.due_at = max(entry.due_at + entry.every, time.monotonic())
        pause = min(entry.due_at for entry in schedule) - time.monotonic()
        time.sleep(min(max(pause, 0.01), 1.0))


def make_schedule() -> list[Entry]:
    """Everything that is done by the clock."""
    return [
        Entry(1, beat),
        Entry(1, recover_messages),
        Entry(1, ring_lanes),
        Entry(1, ring_intake),
        Entry(5, wake_snoozed),
        Entry(5, ring_media),
        Entry(6 * 3600, refresh_numbers, later=True),
    ]


def beat() -> None:
    said = {"at": now().isoformat(), "host": socket.gethostname(), "pid": os.getpid()}
    try:
        redis().set(BEAT, json.dumps(said), ex=30)
    except RedisError as error:
        log.warning("upkeep_without_queue_server", error=type(error).__name__)


def recover_messages() -> None:
    """Claims whose lease ended, calls nobody finished, unknown outcomes, deadlines: an organization at a time."""
    with transaction(), across("sweeper: messages left behind"):
        found = recovering.organizations_with_leftovers()
    if not found:
        return
    for what, recover in recovering.RECOVERIES.items():
        for organization in found.get(what, ()):
            with transaction(), as_organization(organization):
                _note(what, recover(organization))
    if unknown := found.get("unknown"):
        with transaction():
            lags = recovering.intake_lags()
        for organization in unknown:
            with transaction(), as_organization(organization):
                _note("unknown", recovering.resolve_unknown(organization, lags))


def _note(what: str, count: int) -> None:
    if count:
        log.info("messages_recovered", were=what, count=count)


def ring_lanes() -> None:
    """Ring for what is due and for which no bell waits. With the queue server away nobody hears: replies are sent from here."""
    with transaction(), across("sweeper: lanes with due messages"):
        due = recovering.due_lanes()
    try:
        waiting = {lane: waiting_bells(lane) for lane in (INTERACTIVE, BULK)} if due else {}
    except RedisError:
        waiting = {}
    for organization, account, lane in due:
        words = (str(organization), str(account), lane)
        if bell_of(Job.DISPATCH, *words) in waiting.get(lane, ()):
            continue
        if not ring(lane, Job.DISPATCH, *words, again=True) and lane == INTERACTIVE:
            guarded("upkeep.dispatch", dispatch, *words)


def ring_intake() -> None:
    with transaction():
        due = collecting.is_due()
    if due:
        ring_unless_waiting(INTAKE, Job.INTAKE)


def ring_media() -> None:
    with transaction(), across("sweeper: files to fetch"):
        organizations = fetching.organizations_waiting()
    for organization in organizations:
        ring_unless_waiting(DEFAULT, Job.FETCH_MEDIA, str(organization))


def ring_unless_waiting(queue_name: str, job: Job, *args: str) -> None:
    try:
        waits = bell_of(job, *args) in waiting_bells(queue_name)
    except RedisError:
        return
    if not waits:
        ring(queue_name, job, *args, again=True)


def wake_snoozed() -> None:
    with transaction(), across("sweeper: conversations to wake"):
        organizations = conversing.organizations_to_wake()
    for organization in organizations:
        with transaction(), as_organization(organization):
            conversing.wake_snoozed(access.system("upkeep", organization))


def refresh_numbers() -> None:
    """Ask the provider about every number that is not disconnected; one that needs a new token may have got one."""
    a = m.ChannelAccount
    with transaction(), across("sweeper: numbers to refresh"):
        numbers = session.execute(select(a.organization_id, a.id).where(a.state != "disconnected")).all()
    for organization, id in numbers:
        ring(DEFAULT, Job.REFRESH_NUMBER, str(organization), str(id))
