"""What the rules need to know about a batch, their answers, and the stored record; its one rule: the same few queries for 1 or 500."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import and_, select, text
from sqlalchemy.exc import DBAPIError

from whatalker import models as m
from whatalker import policies
from whatalker.db import new_id, session
from whatalker.policies import Decision, Facts
from whatalker.policies.destination import form_of
from whatalker.policies.pace import PAIR_BURST, PAIR_WINDOW
from whatalker.services.batching import run


class Asked(Protocol):
    """A message as the rules see it: a stored row, a claimed one, or one that is only being written. All of one organization."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def organization_id(self) -> uuid.UUID: ...
    @property
    def conversation_id(self) -> uuid.UUID: ...
    @property
    def contact_id(self) -> uuid.UUID: ...
    @property
    def channel_account_id(self) -> uuid.UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...
    @property
    def purpose(self) -> str: ...
    @property
    def author_id(self) -> uuid.UUID | None: ...
    @property
    def author_kind(self) -> str: ...
    @property
    def template_id(self) -> uuid.UUID | None: ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """A message, what was known about it, what the rules answered, and the id under which that is stored."""

    message: Any
    facts: Facts
    decision: Decision
    id: uuid.UUID


Found = Mapping[Any, dict[str, Any]]
Reader = Callable[[Sequence[Asked], datetime], Found]


def gather_facts(messages: Sequence[Asked], at: datetime) -> list[Facts]:
    """The Facts of each, in order. A reading that fails is named in `unreadable` and the others are kept."""
    if not messages:
        return []
    found: dict[str, Found] = {}
    unreadable: frozenset[str] = frozenset()
    try:
        with session.begin_nested():
            for name, reader in READERS.items():
                found[name] = reader(messages, at)
    except DBAPIError:
        found, unreadable = _one_by_one(messages, at)
    return [_facts(message, at, found, unreadable) for message in messages]


def _one_by_one(messages: Sequence[Asked], at: datetime) -> tuple[dict[str, Found], frozenset[str]]:
    found: dict[str, Found] = {}
    failed = set()
    for name, reader in READERS.items():
        try:
            with session.begin_nested():
                found[name] = reader(messages, at)
        except DBAPIError:
            found[name] = {}
            failed.add(name)
    return found, frozenset(failed)


def _facts(message: Asked, at: datetime, found: Mapping[str, Found], unreadable: frozenset[str]) -> Facts:
    known: dict[str, Any] = {}
    known.update(found["standing"].get(message.channel_account_id, {}))
    known.update(found["recipient"].get(message.conversation_id, {}))
    known.update(found["window"].get(message.conversation_id, {}))
    known.update(found["suppression"].get(message.conversation_id, {}))
    known.update(found["pace"].get(message.conversation_id, {}))
    if message.author_id is not None:
        known.update(found["author"].get(message.author_id, {"author_active": False}))
    if message.kind == "template":
        known.update(found["template"].get(message.template_id, {"template_status": ""}))
    if known.get("pair_free_at") and known["pair_free_at"] <= at:
        known["pair_free_at"] = None
    return Facts(
        at=at, purpose=message.purpose, kind=message.kind, author_kind=message.author_kind,
        has_content=has_content(message.kind, message.content), unreadable=unreadable, **known,
    )  # fmt: skip


def has_content(kind: str, content: Mapping[str, Any]) -> bool:
    """Whether there is anything a person would see; taking a reaction back is something."""
    if kind == "text":
        return bool(str(content.get("text") or "").strip())
    return bool(content)


# ---------------------------------------------------------------- one statement each


def _standing(messages: Sequence[Asked], at: datetime) -> Found:
    a, o = m.ChannelAccount, m.Organization
    query = (
        select(a.id, a.channel, a.state, o.standing, o.standing_until)
        .join(o, o.id == a.organization_id)
        .where(a.organization_id == messages[0].organization_id, a.id.in_({x.channel_account_id for x in messages}))
    )
    return {
        row.id: {
            "channel": row.channel, "number_state": row.state, "organization_standing": row.standing,
            "organization_standing_until": row.standing_until,
        }
        for row in session.execute(query)
    }  # fmt: skip


def _authors(messages: Sequence[Asked], at: datetime) -> Found:
    u, member = m.User, m.Membership
    wanted = {message.author_id for message in messages if message.author_id is not None}
    belongs = and_(member.user_id == u.id, member.organization_id == messages[0].organization_id)
    query = select(u.id, and_(u.active, member.active).label("active")).join(member, belongs).where(u.id.in_(wanted))
    return {row.id: {"author_active": bool(row.active)} for row in session.execute(query)}


ROUTES = """
with c as materialized (
  select conversation.id, conversation.identity_id from conversation
  where conversation.organization_id = :organization and conversation.id = any (cast(:conversations as uuid[]))
), i as materialized (
  select one.id, one.contact_id, one.channel, one.canonical, one.wa_id, one.phone, one.user_id from contact_identity one
  where one.organization_id = :organization and one.id = any (array(select c.identity_id from c))
)
"""
"""Where the messages of these conversations go. By arrays of keys and not by joins: row-level security makes PostgreSQL expect a
handful of rows, and it then joins in ways that take seconds for a few thousand."""

_RECIPIENTS = text(
    ROUTES
    + """
    , p as (
      select contact.id, contact.blocked_at from contact
      where contact.organization_id = :organization and contact.id = any (array(select i.contact_id from i))
    )
    select c.id, p.blocked_at, coalesce(i.wa_id, i.phone) as number, i.user_id
    from c join i on i.id = c.identity_id join p on p.id = i.contact_id
    """
)


def _recipients(messages: Sequence[Asked], at: datetime) -> Found:
    found = {
        row.id: {"recipient": form_of(row.number, row.user_id), "recipient_blocked": row.blocked_at is not None}
        for row in session.execute(_RECIPIENTS, routes_of(messages))
    }
    return found | {x.conversation_id: {"recipient": ""} for x in messages if x.conversation_id not in found}


def routes_of(messages: Iterable[Asked]) -> dict[str, Any]:
    """What ROUTES needs to know."""
    every = list(messages)
    conversations = list({message.conversation_id for message in every})
    return {"organization": every[0].organization_id, "conversations": conversations}


def _windows(messages: Sequence[Asked], at: datetime) -> Found:
    c = m.Conversation
    wanted = {message.conversation_id for message in messages}
    query = select(c.id, c.window_expires_at).where(
        c.organization_id == messages[0].organization_id, c.id.in_(wanted)
    )
    return {row.id: {"window_expires_at": row.window_expires_at} for row in session.execute(query)}


def _templates(messages: Sequence[Asked], at: datetime) -> Found:
    t = m.Template
    wanted = {message.template_id for message in messages if message.template_id is not None}
    query = select(t.id, t.status, t.category, t.removed_at).where(
        t.organization_id == messages[0].organization_id, t.id.in_(wanted)
    )
    return {
        row.id: {"template_status": "REMOVED" if row.removed_at else row.status, "template_category": row.category}
        for row in session.execute(query)
    }


_STOPS = text(
    ROUTES
    + """
    select c.id, s.purpose, s.since, s.source from suppression s
    join i on s.channel = i.channel and s.key in (i.canonical, i.user_id) join c on c.identity_id = i.id
    where s.organization_id = :organization and s.lifted_at is null
      and s.key = any (array(select i.canonical from i union select i.user_id from i))
      and s.channel = any (array(select distinct i.channel from i))
    order by s.since, s.id
    """
)


def _suppressions(messages: Sequence[Asked], at: datetime) -> Found:
    found: dict[uuid.UUID, dict[str, Any]] = {x.conversation_id: _NOT_STOPPED for x in messages}
    for row in session.execute(_STOPS, routes_of(messages)):
        known = found[row.id]
        if known is _NOT_STOPPED:
            known = found[row.id] = {
                "suppressed_purposes": frozenset(), "suppressed_since": row.since, "suppression_source": row.source,
            }  # fmt: skip
        known["suppressed_purposes"] |= {row.purpose}
    return found


_NOT_STOPPED: dict[str, Any] = {"suppressed_purposes": frozenset(), "suppressed_since": None, "suppression_source": ""}

_PACE = text(
    """
    select c.id, count(*) as recent, (array_agg(sent.sent_at order by sent.sent_at desc))[cast(:burst as int)] as full_since
    from unnest(cast(:conversations as uuid[])) as c(id)
    cross join lateral (
      select m.sent_at from message m
      where m.organization_id = :organization and m.conversation_id = c.id and m.direction = 'out'
        and m.at > :asked_since and m.sent_at > :since
    ) as sent
    group by c.id
    """
)
_ASKED = 80 * PAIR_WINDOW
"""How long ago a message may have been asked for and still be counted: about six hours; the thread's index goes no further back."""


def _pace(messages: Sequence[Asked], at: datetime) -> Found:
    rows = session.execute(
        _PACE,
        routes_of(messages) | {"since": at - PAIR_WINDOW, "asked_since": at - _ASKED, "burst": PAIR_BURST},
    )
    return {
        row.id: {
            "recent_to_pair": row.recent, "pair_free_at": row.full_since + PAIR_WINDOW if row.full_since else None,
        }
        for row in rows
    }  # fmt: skip


READERS: dict[str, Reader] = {
    "standing": _standing,
    "author": _authors,
    "recipient": _recipients,
    "window": _windows,
    "template": _templates,
    "suppression": _suppressions,
    "pace": _pace,
}
"""policies.READINGS, each read by one statement whatever the batch."""


# ---------------------------------------------------------------- decisions


def decide_and_store(messages: Sequence[Asked], at: datetime) -> list[Ruling]:
    """The rules' answer to each, stored, allowed ones included; it changes no message."""
    rulings = [rule(message, facts) for message, facts in zip(messages, gather_facts(messages, at), strict=True)]
    store(rulings)
    return rulings


def rule(message: Asked, facts: Facts) -> Ruling:
    return Ruling(message, facts, policies.decide(facts), new_id())


def decide_again(rulings: Sequence[Ruling], at: datetime, blocked: set[uuid.UUID]) -> list[Ruling]:
    """The same question at the gate, with what may have changed since read again; the caller holds the rows it rests on.

    `blocked` are the conversations whose contact is blocked now. The new rulings are not stored yet; one whose answer is the
    same keeps its id, for the stored decision still says it.
    """
    if not rulings:
        return []
    messages = [ruling.message for ruling in rulings]
    unreadable = rulings[0].facts.unreadable
    standing = {} if "standing" in unreadable else _standing(messages, at)
    stopped = {} if "suppression" in unreadable else _suppressions(messages, at)
    again = []
    for ruling in rulings:
        message = ruling.message
        known = standing.get(message.channel_account_id, {}) | stopped.get(message.conversation_id, {})
        facts = replace(ruling.facts, at=at, recipient_blocked=message.conversation_id in blocked, **known)
        decision = policies.decide(facts)
        same = decision.verdict == ruling.decision.verdict and decision.code == ruling.decision.code
        again.append(ruling if same else Ruling(message, facts, decision, new_id()))
    return again


def store(rulings: Iterable[Ruling]) -> None:
    """Write the decisions down, by one statement."""
    rows = [
        {
            "organization_id": ruling.message.organization_id, "id": ruling.id, "message_id": ruling.message.id,
            "verdict": ruling.decision.verdict, "code": ruling.decision.code, "sentence": ruling.decision.sentence,
            "not_before": ruling.decision.not_before, "facts": ruling.facts.to_json(),
            "trace_hash": ruling.decision.trace_hash, "engine_version": ruling.decision.engine_version,
            "decided_at": ruling.facts.at,
        }
        for ruling in rulings
    ]  # fmt: skip
    if rows:
        run(_STORE, rows)


_STORE = """
insert into send_decision (organization_id, id, message_id, verdict, code, sentence, not_before, facts, trace_hash,
                           engine_version, decided_at)
select r.* from jsonb_to_recordset(cast(:rows as jsonb)) as r(
  organization_id uuid, id uuid, message_id uuid, verdict text, code text, sentence text, not_before timestamptz,
  facts jsonb, trace_hash text, engine_version text, decided_at timestamptz)
"""


def replay(stored: m.SendDecision) -> Decision:
    """The whole decision, computed again from its stored Facts; its trace_hash is the stored one while the engine is the same."""
    return policies.decide(Facts.from_json(stored.facts))
