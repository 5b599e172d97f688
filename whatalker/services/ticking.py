"""What became of our messages, as the provider tells it; its one rule: ranks only rise, and every word goes to the timeline once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text

from whatalker import models as m
from whatalker.access import Actor
from whatalker.channels import Tick
from whatalker.channels.provider_codes import ErrorFact, explain
from whatalker.db import new_id, now, session
from whatalker.events import Event, publish
from whatalker.services import connecting, consenting, summarizing
from whatalker.services.batching import as_rows, run
from whatalker.services.routing import Number

RANKS = {"queued": -1, "claimed": 0, "sending": 1, "unknown": 2, "sent": 3, "failed": 4, "delivered": 5, "read": 6}
"""A failure ranks above sent and below delivered: whatever the order, a message that arrived has arrived."""

NOT_YET = frozenset({"queued", "claimed"})
"""Given back after an unclear attempt. That this attempt arrived after all ends the matter, and nothing is sent again; that it
failed waits until the message is on its way again, for it says nothing about the next one."""

Item = tuple[Number, Tick]


@dataclass(slots=True)
class Target:
    """A message that ticks speak of, and what they say together."""

    id: uuid.UUID
    conversation_id: uuid.UUID
    status: str
    attempt: int
    provider_id: str | None
    purpose: str
    ticks: list[Tick] = field(default_factory=list)


_BY_PROVIDER_ID = """
select r.n, m.id, m.conversation_id, m.status, m.attempt, m.provider_id, m.purpose
from jsonb_to_recordset(cast(:rows as jsonb)) as r(n int, account uuid, provider_id text)
join message m on m.organization_id = :organization and m.channel_account_id = r.account and m.provider_id = r.provider_id
  and m.direction = 'out'
order by m.id for no key update of m
"""

_BY_KEY = """
select r.n, m.id, m.conversation_id, m.status, m.attempt, m.provider_id, m.purpose
from jsonb_to_recordset(cast(:rows as jsonb)) as r(n int, account uuid, id uuid, attempt int)
join message m on m.organization_id = :organization and m.id = r.id and m.channel_account_id = r.account
  and m.direction = 'out' and m.attempt >= r.attempt
order by m.id for no key update of m
"""


def apply_ticks(actor: Actor, items: Sequence[Item]) -> list[Tick]:
    """Raise the messages they speak of and write the timeline; answers the ticks whose message is not here (yet).

    A tick finds its message by the provider's id or by our own key, and only on the number it came from.
    """
    if not items:
        return []
    targets, early = _match(actor, items)
    changed = [row for target in targets if (row := _raised(target))]
    fresh = _tell_timeline(actor, targets)
    if changed:
        run(_RAISE, changed, organization=actor.organization_id)
        failures = {row["conversation_id"] for row in changed if row["status"] == "failed"}
        recovered = {t.conversation_id for t in targets if t.status == "failed"}
        summarizing.summarize(actor.organization_id, failures | recovered)  # type: ignore[arg-type]
        for conversation_id in dict.fromkeys(row["conversation_id"] for row in changed):
            publish(Event.MESSAGE_CHANGED, actor.organization_id, conversation_id=conversation_id)  # type: ignore[arg-type]
    _react(actor, items, fresh)
    return early


def _match(actor: Actor, items: Sequence[Item]) -> tuple[list[Target], list[Tick]]:
    targets: dict[uuid.UUID, Target] = {}
    open_ = dict(enumerate(items))
    early: list[Tick] = []

    def take(rows: Iterable[Any]) -> None:
        for n, id, *rest in rows:
            item = open_.pop(n, None)
            if item is None:
                continue
            target = targets.setdefault(id, Target(id, *rest))
            waits = target.status in NOT_YET and item[1].status == "failed"
            (early if waits else target.ticks).append(item[1])

    rows = [{"n": n, "account": number.id, "provider_id": tick.provider_id} for n, (number, tick) in open_.items()]
    take(session.execute(text(_BY_PROVIDER_ID), {"rows": as_rows(rows), "organization": actor.organization_id}).all())
    rows = [
        {"n": n, "account": number.id, "id": key[0], "attempt": key[1]}
        for n, (number, tick) in open_.items() if (key := _key_of(tick))
    ]  # fmt: skip
    if rows:
        take(session.execute(text(_BY_KEY), {"rows": as_rows(rows), "organization": actor.organization_id}).all())
    return [target for target in targets.values() if target.ticks], early + [tick for _number, tick in open_.values()]


def _key_of(tick: Tick) -> tuple[uuid.UUID, int] | None:
    id, colon, attempt = (tick.key or "").partition(":")
    if not colon or len(id) != 36 or not attempt.isascii() or not attempt.isdigit() or len(attempt) > 4:
        return None
    try:
        return uuid.UUID(id), int(attempt)
    except ValueError:
        return None


def _concerns_now(target: Target, tick: Tick) -> bool:
    """A failure of an earlier attempt says nothing about the one that is on its way."""
    if tick.status != "failed" or tick.provider_id == target.provider_id:
        return True
    key = _key_of(tick)
    return key is not None and key[1] == target.attempt


def _raised(target: Target) -> dict[str, Any] | None:
    """The row to write, None where nothing rises and nothing new is known."""
    ticks = [tick for tick in target.ticks if _concerns_now(target, tick)]
    if target.status not in RANKS or not ticks:
        return None
    best = max(ticks, key=lambda tick: RANKS[tick.status])
    status = best.status if RANKS[best.status] > RANKS[target.status] else target.status
    row: dict[str, Any] = {
        "id": target.id, "conversation_id": target.conversation_id, "status": status,
        "provider_id": target.provider_id or min(tick.provider_id for tick in ticks),
        "error_code": "", "error_text": "",
    }  # fmt: skip
    for word in ("sent", "delivered", "read"):
        row[f"{word}_at"] = min((tick.at for tick in ticks if tick.status == word), default=None)
    if status == best.status == "failed":
        # Of two failures the earlier one stands.
        first = min((tick for tick in ticks if tick.status == "failed"), key=lambda tick: (tick.at, tick.error_code or ""))
        said = " ".join(filter(None, (first.error_title, first.error_details)))
        row |= {"failed_at": first.at, "error_code": (first.error_code or "")[:64], "error_text": said}
    return row


_RAISE = """
update message m set status = r.status, provider_id = r.provider_id,
  sent_at = least(m.sent_at, r.sent_at), delivered_at = least(m.delivered_at, r.delivered_at),
  read_at = least(m.read_at, r.read_at),
  failed_at = case when r.status = 'failed' then least(m.failed_at, r.failed_at) end,
  error_code = case when r.first then r.error_code when r.status = 'failed' then m.error_code else '' end,
  error_text = case when r.first then r.error_text when r.status = 'failed' then m.error_text else '' end
from (
  select r.*, r.failed_at is not null
    and (o.status <> 'failed' or (r.failed_at, r.error_code) < (coalesce(o.failed_at, r.failed_at), o.error_code)) as first
  from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, status text, provider_id text, sent_at timestamptz,
    delivered_at timestamptz, read_at timestamptz, failed_at timestamptz, error_code text, error_text text)
  join message o on o.organization_id = :organization and o.id = r.id) r
where m.organization_id = :organization and m.id = r.id
"""


def _tell_timeline(actor: Actor, targets: Sequence[Target]) -> set[str]:
    """The keys of the events that were not on the timeline yet."""
    rows = [
        {"id": new_id(), "message_id": target.id, "event_key": _event_key(tick), "kind": tick.status, "at": tick.at,
         "data": _data(tick)}
        for target in targets for tick in target.ticks
    ]  # fmt: skip
    if not rows:
        return set()
    told = (
        run(
            """insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
               select :organization, r.id, r.message_id, r.event_key, r.kind, r.at, :now, r.data
               from jsonb_to_recordset(cast(:rows as jsonb))
                 as r(id uuid, message_id uuid, event_key text, kind text, at timestamptz, data jsonb)
               on conflict (organization_id, event_key) do nothing returning event_key""",
            rows,
            organization=actor.organization_id,
            now=now(),
        )
    )
    return {key for (key,) in told}


def _event_key(tick: Tick) -> str:
    """With its moment: the same call again is one event, two devices that say the same at different times are two."""
    key = ":".join(filter(None, (tick.event_key, f"{tick.at.timestamp():.0f}", tick.error_code)))
    return key if len(key) <= 300 else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _data(tick: Tick) -> dict[str, Any]:
    said = {
        "provider_id": tick.provider_id, "key": tick.key, "code": tick.error_code, "title": tick.error_title,
        "details": tick.error_details, "pricing": tick.pricing, "expires_at": tick.expires_at,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


def _react(actor: Actor, items: Sequence[Item], fresh: set[str]) -> None:
    """What a failure means beyond its message: the person stopped marketing, or the number may not send any more.

    A number is stopped only by fresh news, so that an old call that comes again does not stop one that was mended since.
    """
    stops: list[consenting.Word] = []
    failing: dict[uuid.UUID, ErrorFact] = {}
    for number, tick in items:
        if tick.status != "failed" or not tick.error_code:
            continue
        fact = explain(connecting.PROVIDERS.get(number.channel, number.channel), tick.error_code)
        if fact.action == "stop_marketing":
            stops.append(consenting.word_of_failure(number, tick))
        elif fact.stops_number and _event_key(tick) in fresh:
            failing.setdefault(number.id, fact)
    consenting.hear(actor, stops)
    a = m.ChannelAccount
    for account in session.scalars(
        select(a).where(a.organization_id == actor.organization_id, a.id.in_(failing)).order_by(a.id).with_for_update()
    ):
        connecting.stop_number(account, failing[account.id].code, failing[account.id].text(), actor)
