"""What was left behind by a killed worker, a lost answer or a passed deadline; its one rule: only `unknown` may ever be sent twice.

`claimed` was never called, so it goes back. `sending` may have been accepted, so it becomes `unknown` and waits for a webhook;
after that marketing stays unknown for good, and anything else is sent again once no webhook is left unread that could speak of it.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, select, text

from whatalker import models as m
from whatalker.db import new_id, now, session
from whatalker.events import Event, publish
from whatalker.services import summarizing
from whatalker.services.settling import MOST_ATTEMPTS, unknown_wait

MOST = 2_000
"""Messages of one organization that one round sees to."""

NEWS_MAY_TAKE = timedelta(seconds=2)
"""A provider's call that has waited longer than this unread means that the intake lags."""

Lane = tuple[uuid.UUID, uuid.UUID, str]
"""Organization, number and lane."""


def due_lanes() -> list[Lane]:
    """Where something is due, asked across all organizations: one look into an index for each number and lane.

    For a number that may not send, only what nobody has told yet that it waits.
    """
    return [(row.organization_id, row.id, row.lane) for row in session.execute(_DUE_LANES, {"at": now()})]


_DUE_LANES = text(
    """
    select a.organization_id, a.id, l.lane from channel_account a
    cross join (values ('interactive'), ('bulk')) as l(lane)
    cross join lateral (
      select 1 from message m
      where m.organization_id = a.organization_id and m.channel_account_id = a.id and m.lane = l.lane
        and m.status = 'queued' and m.available_at <= :at and (a.state = 'active' or m.hold_reason = '')
      limit 1
    ) as due
    """
)


def organizations_with_leftovers() -> dict[str, list[uuid.UUID]]:
    """Which organizations have messages to recover, by what is to be done; asked across all of them."""
    found: dict[str, list[uuid.UUID]] = defaultdict(list)
    for row in session.execute(_LEFTOVERS, {"at": now()}):
        found[row.what].append(row.organization_id)
    return found


_LEFTOVERS = text(
    """
    select distinct status as what, organization_id from message
    where status in ('claimed', 'sending', 'unknown') and claimed_until < :at
    union
    select distinct 'queued', organization_id from message where status = 'queued' and not_after is not null and not_after <= :at
    """
)


def give_back_claimed(organization: uuid.UUID) -> int:
    """Nobody was called under these claims: back into the queue."""
    return _move(
        organization,
        "status = 'claimed' and claimed_until < :at",
        "status = 'queued', claim_token = null, claimed_until = null",
        "returned",
    )


def doubt_sending(organization: uuid.UUID) -> int:
    """The worker that called is gone, or stands still: nobody knows whether the provider accepted."""
    return _move(
        organization,
        "status = 'sending' and claimed_until < :at",
        "status = 'unknown', claimed_until = :look_at, error_code = 'no_answer',"
        " error_text = 'The worker ended before the provider answered.'",
        "unknown",
        look_at=now() + unknown_wait(),
    )


def resolve_unknown(organization: uuid.UUID, intake_lags: bool) -> int:
    """Those whose webhook did not come: sent again where their class allows it and all news has been read; answers how many.

    Marketing is never sent again, and neither is anything that was tried often enough: they stay unknown, and are not looked at
    any more unless a webhook still comes.
    """
    _move(
        organization,
        "status = 'unknown' and claimed_until < :at and (purpose = 'marketing' or attempt >= :most or exists (select from"
        " template t where t.organization_id = m.organization_id and t.id = m.template_id and t.category = 'MARKETING'))",
        "claimed_until = null",
        "",
        most=MOST_ATTEMPTS,
    )
    if intake_lags:
        return 0
    return _move(
        organization,
        "status = 'unknown' and claimed_until < :at",
        "status = 'queued', claim_token = null, claimed_until = null, available_at = :at, error_code = '', error_text = ''",
        "resent",
    )


def expire(organization: uuid.UUID) -> int:
    """Their last moment has passed: never late."""
    return _move(
        organization,
        "status = 'queued' and not_after is not null and not_after <= :at",
        "status = 'expired', error_code = 'expired', hold_reason = ''",
        "expired",
    )


RECOVERIES: dict[str, Callable[[uuid.UUID], int]] = {
    "claimed": give_back_claimed,
    "sending": doubt_sending,
    "queued": expire,
}


def intake_lags() -> bool:
    """Whether a provider's call waits unread that could tell what became of an attempt; read without any scope."""
    call = m.WebhookCall
    unread = call.state.in_(("waiting", "claimed")) & (call.received_at < now() - NEWS_MAY_TAKE)
    return bool(session.scalar(select(exists().where(unread))))


def _move(organization: uuid.UUID, which: str, change: str, event: str, **values: Any) -> int:
    """Change these messages, locked in the order of their ids, and note it in their timelines; rows in use come next round."""
    rows = session.execute(
        text(
            f"""
            with mine as materialized (
              select m.id from message m where m.organization_id = :organization and {which}
              order by m.id limit :rows for update skip locked
            )
            update message m set {change} from mine where m.organization_id = :organization and m.id = mine.id
            returning m.id, m.conversation_id, m.attempt, m.status
            """
        ),
        {"organization": organization, "at": now(), "rows": MOST} | values,
    ).all()
    if event and rows:
        session.execute(
            _NOTED,
            {
                "organization": organization, "kind": event, "at": now(), "ids": [new_id() for _ in rows],
                "messages": [row.id for row in rows], "attempts": [row.attempt for row in rows],
            },
        )  # fmt: skip
        summarizing.summarize(organization, {row.conversation_id for row in rows if row.status == "expired"})
        for conversation in dict.fromkeys(row.conversation_id for row in rows):
            publish(Event.MESSAGE_CHANGED, organization, conversation_id=conversation)
    return len(rows)


_NOTED = text(
    """
    insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
    select :organization, r.id, r.message, concat_ws(':', r.message, cast(:kind as text), r.id), :kind, :at, :at,
      jsonb_build_object('attempt', r.attempt)
    from unnest(cast(:ids as uuid[]), cast(:messages as uuid[]), cast(:attempts as int[])) as r(id, message, attempt)
    """
)
