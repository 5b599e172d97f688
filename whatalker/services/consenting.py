"""Stopping and resuming as people tell the provider itself; its one rule: the newest word stands, however late an older one comes."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, text

from whatalker import models as m
from whatalker.access import Actor
from whatalker.channels import Preference, Tick
from whatalker.db import new_id, session
from whatalker.events import Event, publish
from whatalker.services import auditing
from whatalker.services.recognizing import key_of
from whatalker.services.routing import Number

PREFERENCES, FAILURE = "user_preferences", "provider_error"
SOURCES = (PREFERENCES, FAILURE)
"""What the provider knows by itself; only its own word lifts these. Other sources are not touched here."""

S = m.Suppression


@dataclass(frozen=True, slots=True)
class Word:
    """One person's stop or resume."""

    channel: str
    key: str
    at: datetime
    choice: str
    source: str
    evidence: str
    purpose: str = "marketing"


def word_of_failure(number: Number, tick: Tick) -> Word:
    """The provider refused marketing to someone because they had stopped it there."""
    key = key_of(tick.recipient_wa_id or "") or tick.recipient_user_id or ""
    return Word(number.channel, key, tick.at, "stop", FAILURE, tick.provider_id)


def apply_preferences(actor: Actor, items: Sequence[tuple[Number, Preference]]) -> None:
    """Remember what people chose in WhatsApp, whether or not we know them yet."""
    hear(actor, [
        Word(number.channel, key_of(news.wa_id) or news.user_id or "", news.at, news.choice, PREFERENCES,
             news.provider_id or news.event_key, news.purpose)
        for number, news in items
    ])  # fmt: skip


def hear(actor: Actor, words: Sequence[Word]) -> None:
    """Add stops, lift what was stopped before a resume; the same words in any order, any number of times, end the same.

    A resume leaves a row that was lifted the moment it began: by it a stop that is older, but comes later, is known to be over.
    Of a stop and a resume in the same second the stop stands.
    """
    words = [word for word in words if word.key]
    if not words:
        return
    keys = {word.key for word in words}
    _hold_contacts(actor, keys)
    known: dict[tuple[str, str, str], list[m.Suppression]] = defaultdict(list)
    query = select(S).where(
        S.organization_id == actor.organization_id, S.channel.in_({word.channel for word in words}), S.key.in_(keys),
        S.source.in_(SOURCES),
    )  # fmt: skip
    for row in session.scalars(query.with_for_update().execution_options(populate_existing=True)):
        known[row.channel, row.key, row.purpose].append(row)
    lines: list[dict[str, Any]] = []
    for word in sorted(words, key=lambda word: (word.at, word.choice)):
        rows = known[word.channel, word.key, word.purpose]
        _add(actor, word, rows)
    for rows in known.values():
        lines += _settle(rows)
    session.flush()
    auditing.record_many(actor, lines)
    _mark_by_keys(actor, keys)


def _hold_contacts(actor: Actor, keys: Collection[str]) -> None:
    """The gate holds these rows while it decides: a stop commits either before it looks, or after the message has left."""
    c, i = m.Contact, m.ContactIdentity
    named = select(i.contact_id).where(
        i.organization_id == actor.organization_id, or_(i.canonical.in_(keys), i.user_id.in_(keys))
    )
    session.execute(
        select(c.id).where(c.organization_id == actor.organization_id, c.id.in_(named)).order_by(c.id)
        .with_for_update(key_share=True)
    )  # fmt: skip


def _add(actor: Actor, word: Word, rows: list[m.Suppression]) -> None:
    lifts = word.choice == "resume"
    if any(row.since == word.at and (row.lifted_at == row.since) == lifts for row in rows):
        return
    row = S(
        organization_id=actor.organization_id, id=new_id(), channel=word.channel, key=word.key, purpose=word.purpose,
        source=word.source, evidence=word.evidence[:500], since=word.at, lifted_at=word.at if lifts else None,
        lifted_by=word.source if lifts else "",
    )  # fmt: skip
    session.add(row)
    rows.append(row)


def _settle(rows: list[m.Suppression]) -> list[dict[str, Any]]:
    """Each stop ends at the first resume after it; answers the audit lines."""
    resumes = sorted(row.since for row in rows if row.lifted_at == row.since)
    lines: list[dict[str, Any]] = []
    for row in rows:
        if row.lifted_at == row.since or row.lifted_by not in ("", *SOURCES):
            continue
        fresh = row in session.new
        ends = next((at for at in resumes if at > row.since), None)
        if fresh or ends != row.lifted_at:
            lines.append({
                "action": "suppression.lifted" if ends else "suppression.added", "object_type": "suppression",
                "object_id": str(row.id), "reason": row.source,
                "diff": {"lifted_at": [_text(row.lifted_at), _text(ends)], "purpose": [None, row.purpose]},
            })  # fmt: skip
        row.lifted_at, row.lifted_by = ends, PREFERENCES if ends else ""
    return lines


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


_MARK = """
update conversation c set marketing_stopped_at = x.since
from (
  select t.id, (
    select min(s.since) from contact_identity i
    join suppression s on s.organization_id = i.organization_id and s.channel = i.channel and s.lifted_at is null
      and s.key in (i.canonical, i.user_id) and s.purpose in ('marketing', 'all')
    where i.organization_id = t.organization_id and i.contact_id = t.contact_id) as since
  from conversation t where t.organization_id = :organization and {}) x
where c.organization_id = :organization and c.id = x.id and c.marketing_stopped_at is distinct from x.since
returning c.id
"""
_MARK_THREADS = _MARK.format("t.id = any (:ids)")
_MARK_KEYS = _MARK.format(
    "t.contact_id in (select i.contact_id from contact_identity i where i.organization_id = :organization"
    " and (i.canonical = any (:ids) or i.user_id = any (:ids)))"
)


def mark_threads(actor: Actor, ids: Collection[uuid.UUID]) -> None:
    """Bring the badge of these conversations in line with what their contacts have stopped."""
    if ids:
        session.execute(text(_MARK_THREADS), {"organization": actor.organization_id, "ids": list(ids)})


def _mark_by_keys(actor: Actor, keys: Collection[str]) -> None:
    marked = session.execute(text(_MARK_KEYS), {"organization": actor.organization_id, "ids": sorted(keys)})
    for (id,) in marked:
        publish(Event.CONVERSATION_CHANGED, actor.organization_id, conversation_id=id)  # type: ignore[arg-type]
