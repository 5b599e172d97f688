"""Who sends which message now; its one rule: a claim is a lease, and of one conversation only one message is on its way at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import Row, text

from whatalker.db import session
from whatalker.services.batching import run

Claimed = Row[Any]
"""A claimed message: what the rules, the channel and the settling need of it."""

LOOK = 4
"""How many due messages are looked at for each one wanted: those of busy conversations are passed over."""

SOON = timedelta(minutes=2)
"""A message waits for an older one of its conversation that will be tried again within this time, and overtakes it otherwise."""


def lease() -> timedelta:
    """How long a claim lasts; no provider call is made under it, so that giving it back is always safe."""
    return timedelta(seconds=current_app.config["CLAIM_LEASE_SECONDS"])


def claim(account: uuid.UUID, organization: uuid.UUID, lane: str, most: int, at: datetime, *, sends: bool = True) -> Sequence[Claimed]:
    """Take the oldest due messages of this lane, at most one of each conversation that has none on its way, for the lease.

    `sends` is whether the number is active; while it is not, only messages that nobody has told yet that they wait are taken.
    Claims of one number take turns, for two at once could each take a message of the same conversation.
    """
    session.execute(_TURN, {"key": f"claim:{account}"})
    values = {
        "organization": organization, "account": account, "lane": lane, "at": at, "soon": at + SOON, "most": most,
        "token": uuid.uuid4(), "until": at + lease(), "sends": sends,
    }  # fmt: skip
    look = most * LOOK
    rows = session.execute(_CLAIM, values | {"look": look}).all()
    if len(rows) * LOOK < most and session.scalar(_MORE, values | {"look": look}):
        # Many due messages of few conversations stand in front: look past them, or the others would starve.
        rows = [*rows, *session.execute(_CLAIM, values | {"look": look * 16, "most": most - len(rows)})]
    return sorted(rows, key=lambda row: row.id)


_TURN = text("select pg_advisory_xact_lock(hashtextextended(:key, 0))")

_DUE = """
  from message m
  where m.organization_id = :organization and m.channel_account_id = :account and m.lane = :lane and m.status = 'queued'
    and m.available_at <= :at and (m.not_after is null or m.not_after > :at) and (:sends or m.hold_reason = '')
"""

_MORE = text(
    f"select count(*) >= :look from (select 1 {_DUE} order by m.available_at, m.id limit :look) as due"
)

_CLAIM = text(
    f"""
    with busy as materialized (
      select b.conversation_id from message b
      where b.organization_id = :organization and b.channel_account_id = :account and b.status in ('claimed', 'sending')
    ), waiting as materialized (
      select distinct on (w.conversation_id) w.conversation_id, w.id from message w
      where w.organization_id = :organization and w.channel_account_id = :account and w.lane = :lane
        and w.status = 'queued' and w.available_at > :at and w.available_at < :soon and w.decision_id is not null
      order by w.conversation_id, w.id
    ), due as materialized (
      select m.id, m.conversation_id, m.available_at {_DUE}
        and m.conversation_id not in (select busy.conversation_id from busy)
        and not exists (select from waiting w where w.conversation_id = m.conversation_id and w.id < m.id)
      order by m.available_at, m.id limit :look
    ), first as (
      select distinct on (d.conversation_id) d.id from due d order by d.conversation_id, d.id
    ), taken as (
      select t.id from message t
      where t.organization_id = :organization and t.id = any (array(select first.id from first)) and t.status = 'queued'
      order by t.available_at, t.id limit :most
      for update skip locked
    )
    update message m set status = 'claimed', claim_token = :token, claimed_until = :until
    where m.organization_id = :organization and m.id = any (array(select taken.id from taken))
    returning m.id, m.organization_id, m.conversation_id, m.contact_id, m.channel_account_id, m.lane, m.kind, m.content,
      m.purpose, m.author_id, m.author_kind, m.template_id, m.reply_to, m.not_after, m.attempt, m.claim_token
    """
)


def give_back(messages: Iterable[Any], available_at: datetime) -> int:
    """Put claimed messages back in the queue, as long as the claim is still ours; answers how many."""
    rows = [
        {"organization_id": x.organization_id, "id": x.id, "token": x.claim_token, "available_at": available_at}
        for x in messages
    ]
    return run(_GIVE_BACK, rows).rowcount if rows else 0


_GIVE_BACK = """
update message m
set status = 'queued', claim_token = null, claimed_until = null, available_at = greatest(m.available_at, r.available_at)
from jsonb_to_recordset(cast(:rows as jsonb)) as r(organization_id uuid, id uuid, token uuid, available_at timestamptz)
where m.organization_id = r.organization_id and m.id = r.id and m.status = 'claimed' and m.claim_token = r.token
"""
