"""The last question before a call, in one transaction; its one rule: nobody opts out or is suspended between the answer and its commit.

It holds the organization and the contacts FOR SHARE: a stop or a suspension either committed before, and is seen here, or waits
until `sending` is committed. Rows that somebody is changing this moment are not waited for; their messages come again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import Row, select, text

from whatalker import models as m
from whatalker.channels import Outgoing
from whatalker.db import new_id, session
from whatalker.services import claiming, deciding
from whatalker.services.batching import run
from whatalker.services.deciding import Ruling

GROUP = 64
"""Messages of one gate: as many as a kill can leave unknown."""

COME_AGAIN = timedelta(seconds=0.3)

HELD_BY_NUMBER = frozenset({"number_stopped", "number_needs_reauth"})
"""These wait for an admin, not for the clock: they stay due, and are taken again when the number is active."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A message whose `sending` is committed: it must be called and settled, or be found `unknown` by the sweeper."""

    message: Any
    outgoing: Outgoing
    gated_at: datetime

    @property
    def number(self) -> int:
        return self.outgoing.attempt


def sending_lease() -> timedelta:
    """How long `sending` may last before its outcome counts as unknown; longer than any call."""
    return timedelta(seconds=current_app.config["SENDING_LEASE_SECONDS"])


def open_gate(rulings: Sequence[Ruling], at: datetime) -> list[Attempt]:
    """Let through what may still go, at most GROUP of one number, and mark it `sending`; the rest is blocked, held or given back.

    The caller commits, and only then calls.
    """
    held = _hold_rows(rulings)
    now_held = [ruling for ruling in rulings if ruling.message.conversation_id in held]
    later = [ruling.message for ruling in rulings if ruling.message.conversation_id not in held]
    blocked = {conversation for conversation, row in held.items() if row.blocked_at is not None}
    again = deciding.decide_again(now_held, at, blocked)
    passing = [ruling for ruling in again if ruling.decision.allowed]
    changed = [ruling for ruling in again if not ruling.decision.allowed]
    deciding.store(changed)
    apply_refusals(changed)
    claiming.give_back(later, at + COME_AGAIN)
    return _mark_sending(passing, held, at)


def _hold_rows(rulings: Sequence[Ruling]) -> dict[uuid.UUID, Row[Any]]:
    """Lock organization and contacts FOR SHARE; answers who may be written to where, by conversation, for those we got."""
    o, routes = m.Organization, deciding.routes_of(ruling.message for ruling in rulings)
    query = select(o.id).where(o.id == routes["organization"]).with_for_update(read=True, skip_locked=True)
    if session.scalar(query) is None:
        return {}
    return {row.id: row for row in session.execute(_HOLD, routes)}


_HOLD = text(
    deciding.ROUTES
    + """
    , p as (
      select contact.id, contact.blocked_at from contact
      where contact.organization_id = :organization and contact.id = any (array(select i.contact_id from i))
      order by contact.id for share skip locked
    )
    select c.id, p.blocked_at, i.wa_id, i.phone, i.user_id
    from c join i on i.id = c.identity_id join p on p.id = i.contact_id
    """
)


def _mark_sending(passing: Sequence[Ruling], held: dict[uuid.UUID, Row[Any]], at: datetime) -> list[Attempt]:
    """Only what is still claimed by us, under a lease that still runs; each with its attempt in the timeline."""
    if not passing:
        return []
    by_id = {ruling.message.id: ruling for ruling in passing}
    rows = [{"id": x.message.id, "token": x.message.claim_token, "decision_id": x.id} for x in passing]
    marked = run(
        _SENDING, rows, organization=passing[0].message.organization_id, at=at, until=at + sending_lease(),
    ).all()  # fmt: skip
    events = [
        {"id": new_id(), "message_id": row.id, "event_key": f"{row.id}:sending:{row.attempt}", "attempt": row.attempt}
        for row in marked
    ]
    if events:
        run(_BEGUN, events, organization=passing[0].message.organization_id, at=at)
    return [_attempt(by_id[row.id], held, row.attempt, at) for row in marked]


def _attempt(ruling: Ruling, held: dict[uuid.UUID, Row[Any]], attempt: int, at: datetime) -> Attempt:
    message = ruling.message
    to = held[message.conversation_id]
    outgoing = Outgoing(
        message_id=message.id, attempt=attempt, to=to.wa_id or (to.phone or "").removeprefix("+"), to_user_id=to.user_id,
        kind=message.kind, content=message.content, reply_to=message.reply_to,
    )  # fmt: skip
    return Attempt(message, outgoing, at)


_SENDING = """
update message m
set status = 'sending', attempt = m.attempt + 1, claimed_until = :until, decision_id = r.decision_id, hold_reason = ''
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, token uuid, decision_id uuid)
where m.organization_id = :organization and m.id = r.id and m.status = 'claimed' and m.claim_token = r.token
  and m.claimed_until > :at and (m.not_after is null or m.not_after > :at)
returning m.id, m.attempt
"""

_BEGUN = """
insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
select :organization, r.id, r.message_id, r.event_key, 'sending', :at, :at, jsonb_build_object('attempt', r.attempt)
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, message_id uuid, event_key text, attempt int)
"""


def apply_refusals(rulings: Sequence[Ruling]) -> None:
    """What the rules did not let through: denied is blocked for good, deferred waits, each with its decision and its reason."""
    rows = []
    for ruling in rulings:
        message, decision = ruling.message, ruling.decision
        held = decision.verdict == "defer"
        waits_for_admin = decision.code in HELD_BY_NUMBER
        rows.append(
            {
                "id": message.id, "token": message.claim_token, "decision_id": ruling.id, "at": ruling.facts.at,
                "status": "queued" if held else "blocked", "code": decision.code, "sentence": decision.sentence,
                "available_at": None if waits_for_admin else decision.not_before, "event": new_id(),
                "event_key": f"{message.id}:{'held' if held else 'blocked'}:{ruling.id}",
            }
        )  # fmt: skip
    if rows:
        run(_REFUSED, rows, organization=rulings[0].message.organization_id)


_REFUSED = """
with r as (
  select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    id uuid, token uuid, decision_id uuid, at timestamptz, status text, code text, sentence text, available_at timestamptz,
    event uuid, event_key text)
), changed as (
  update message m
  set status = r.status, decision_id = r.decision_id, claim_token = null, claimed_until = null,
    available_at = coalesce(r.available_at, m.available_at),
    hold_reason = case when r.status = 'queued' then r.sentence else '' end,
    error_code = case when r.status = 'blocked' then r.code else m.error_code end,
    error_text = case when r.status = 'blocked' then r.sentence else m.error_text end
  from r where m.organization_id = :organization and m.id = r.id and m.status = 'claimed' and m.claim_token = r.token
  returning m.id
)
insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
select :organization, r.event, r.id, r.event_key, case when r.status = 'blocked' then 'blocked' else 'held' end, r.at, r.at,
  jsonb_build_object('code', r.code, 'decision', r.decision_id, 'until', r.available_at)
from r join changed using (id)
"""
