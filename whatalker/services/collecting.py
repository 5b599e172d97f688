"""Providers' calls from the moment they are stored until they are finished; its one rule: a stored call is never lost or dropped."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, func, insert, select, text

from whatalker import models as m
from whatalker.db import new_id, now, session
from whatalker.queues import INTAKE, Job, enqueue
from whatalker.services.batching import run

BATCH = 500
"""Calls of one claim."""

BATCH_BYTES = 16 * 1024 * 1024
"""Of bodies in one claim, so that a flood of large calls does not fill a worker's memory."""

LEASE = timedelta(seconds=60)
"""A call that a killed worker had claimed comes back when this ends."""

PATIENCE = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 15, 30, 60, 120, 240, 480))
"""How long a parked call waits, by how often it was tried; after the last it is kept as unrouted."""

TRIES = 25
"""Claims after which a call that always takes its worker down with it is kept as unreadable and asked no more."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A claimed call; equal only to itself."""

    id: uuid.UUID
    provider: str
    body: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call: done, parked, unreadable or unrouted, and for whoever looks, why."""

    state: str = "done"
    note: str = ""


def store_call(provider: str, body: bytes) -> uuid.UUID:
    """Keep a verified call exactly as it came and ring for the intake once that is committed."""
    id, moment = new_id(), now()
    session.execute(
        insert(m.WebhookCall).values(
            id=id, provider=provider, body=body, received_at=moment, available_at=moment, state="waiting", attempts=0,
            note="",
        )
    )  # fmt: skip
    enqueue(INTAKE, Job.INTAKE)
    return id


_CLAIM = """
with due as (
  select id, sum(octet_length(body)) over w as bytes, row_number() over w as place from (
    select id, body, available_at from webhook_call
    where state in ('waiting', 'claimed', 'parked') and available_at <= :now
    order by available_at, id limit :most for update skip locked
  ) as open window w as (order by available_at, id)
)
update webhook_call c
set state = 'claimed', claimed_until = :until, available_at = :until, attempts = least(c.attempts + 1, 32000)
from due where c.id = due.id and (due.bytes <= :bytes or due.place = 1)
returning c.id, c.provider, c.body, c.attempts
"""


def claim_calls(most: int = BATCH) -> list[Call]:
    """Take the oldest open calls for as long as the lease; nobody else gets them before it ends."""
    moment = now()
    found = session.execute(
        text(_CLAIM), {"now": moment, "until": moment + LEASE, "most": most, "bytes": BATCH_BYTES}
    )
    return sorted((Call(*row) for row in found), key=lambda call: call.id)


def is_due() -> bool:
    """Whether a call waits, is parked no longer, or was left by a worker that is gone: when upkeep rings for the intake."""
    c = m.WebhookCall
    open_ = c.state.in_(("waiting", "claimed", "parked"))
    return bool(session.scalar(select(exists().where(open_, c.available_at <= now()))))


def finish_calls(outcomes: Mapping[Call, Outcome]) -> None:
    """Write down what became of them, in the transaction that applied them; patience decides when a parked one is tried again."""
    rows = [_finished(call, outcome) for call, outcome in outcomes.items()]
    run(
        """update webhook_call c set state = r.state, note = r.note, available_at = coalesce(r.again, c.available_at),
             claimed_until = null, finished_at = case when r.state = 'parked' then null else :now end
           from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, state text, note text, again timestamptz)
           where c.id = r.id""",
        rows,
        now=now(),
    )


def _finished(call: Call, outcome: Outcome) -> dict[str, Any]:
    state, again = outcome.state, None
    if state == "parked":
        if call.attempts > len(PATIENCE):
            state = "unrouted"
        else:
            again = now() + PATIENCE[call.attempts - 1]
    return {"id": call.id, "state": state, "note": outcome.note[:2000], "again": again}


def retry_calls(ids: Iterable[uuid.UUID]) -> int:
    """Open kept calls again, once their number is connected or their fault is mended; applying one twice changes nothing."""
    done = run(
        """update webhook_call c set state = 'waiting', available_at = :now, attempts = 0, finished_at = null
           from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid)
           where c.id = r.id and c.state in ('unreadable', 'unrouted')""",
        [{"id": id} for id in ids],
        now=now(),
    )
    enqueue(INTAKE, Job.INTAKE)
    return done.rowcount


def count_calls() -> dict[str, int]:
    """How many calls are open or kept, by state; finished ones are not counted."""
    c = m.WebhookCall
    rows = session.execute(select(c.state, func.count()).where(c.state != "done").group_by(c.state))
    return dict(rows.tuples())


def ring_again() -> None:
    """For a run that ends before it found nothing more."""
    enqueue(INTAKE, Job.INTAKE)
