"""A thread as people read it: messages, notes and what happened, in one order; its one rule: who sees the conversation sees all of it."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from flask_babel import gettext as _
from sqlalchemy import ARRAY, Uuid, func, literal, select, tuple_, union_all
from sqlalchemy import cast as cast_sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import joinedload

from whatalker import access
from whatalker import models as m
from whatalker.access import Actor, Permission, require, visible
from whatalker.db import session
from whatalker.errors import Invalid, NotFound
from whatalker.policies import Decision

PAGE = 50
"""Messages of one page of a thread."""

MOST_ASIDES = 200
"""Notes and happenings read beside one page of messages."""

FILES = frozenset({"image", "video", "audio", "document", "sticker"})

SHOWN_ACTIONS = (
    "conversation.assigned", "conversation.unassigned", "conversation.taken", "conversation.moved",
    "conversation.resolved", "conversation.reopened", "conversation.snoozed", "conversation.woken",
    "conversation.labelled", "conversation.unlabelled",
)  # fmt: skip
"""What happened to a conversation and is told in its thread; being opened by somebody is not."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the thread."""

    type: Literal["message", "note", "event"]
    at: datetime
    id: uuid.UUID
    author_id: uuid.UUID | None = None
    message: m.Message | None = None
    attachments: tuple[m.Attachment, ...] = ()
    quoted: m.Message | None = None
    """The message it answers, where it is in this conversation."""
    reactions: tuple[tuple[str, str], ...] = ()
    """(emoji, author kind): the last of each side."""
    text: str = ""
    action: str = ""
    actor_name: str = ""
    diff: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thread:
    entries: list[Entry]
    """Oldest first."""
    earlier: str | None
    """The key of the page before this one; None: the thread begins here."""
    last_inbound_id: uuid.UUID | None
    """The newest message of the contact on the newest page: what the agent has seen when they answer."""


def read_thread(actor: Actor, conversation: m.Conversation, before: str | None = None) -> Thread:
    """The newest page, or the one that ends before the key; ordered by the provider's time, then id."""
    cursor = _read_key(before) if before else None
    table = m.Message
    query = visible(actor, table).where(table.conversation_id == conversation.id)
    if cursor:
        query = query.where(tuple_(table.at, table.id) < cursor)
    newest = list(session.scalars(query.order_by(table.at.desc(), table.id.desc()).limit(PAGE + 1)))
    messages, more = newest[:PAGE][::-1], len(newest) > PAGE
    since = messages[0].at if more else None
    about = [message.provider_id for message in messages if message.provider_id]
    asides, reactions = _asides(conversation, since, cursor[0] if cursor else None, about)
    entries = _message_entries(actor, messages, reactions) + asides
    entries.sort(key=lambda entry: (entry.at, entry.id))
    inbound = [message.id for message in messages if message.direction == "in"]
    earlier = _write_key(messages[0].at, messages[0].id) if more else None
    return Thread(entries, earlier, inbound[-1] if inbound else None)


def read_entry(actor: Actor, conversation: m.Conversation, message_id: uuid.UUID | str) -> Entry:
    """One message as the thread shows it, or NotFound."""
    message = access.get(actor, m.Message, message_id)
    if message.conversation_id != conversation.id:
        raise NotFound(_("There is nothing here, or it is not yours to see."))
    about = message.content.get("message_id") if message.kind == "reaction" else message.provider_id
    reactions = _asides(conversation, message.at, message.at, [about] if about else [])[1]
    return (_message_entries(actor, [message], reactions, alone=True))[0]


def newer_inbound(actor: Actor, conversation: m.Conversation, seen_id: uuid.UUID | None) -> int:
    """How many messages of the contact came after the one the agent has seen, counted to 100."""
    table = m.Message
    query = visible(actor, table).where(table.conversation_id == conversation.id, table.direction == "in")
    if seen_id is not None:
        seen = session.execute(
            visible(actor, table).where(table.id == seen_id, table.conversation_id == conversation.id)
            .with_only_columns(table.at, table.id)
        ).first()  # fmt: skip
        if seen is None:
            return 0
        query = query.where(tuple_(table.at, table.id) > tuple(seen))
    return access.count_up_to(query.with_only_columns(table.id))


def timeline(actor: Actor, message: m.Message) -> list[m.MessageEvent]:
    """Everything that happened to a message, as it was recorded."""
    query = visible(actor, m.MessageEvent).where(m.MessageEvent.message_id == message.id)
    return list(session.scalars(query.order_by(m.MessageEvent.at, m.MessageEvent.recorded_at, m.MessageEvent.id).limit(200)))


def decisions_of(actor: Actor, message: m.Message) -> list[m.SendDecision]:
    """Every decision about a message, newest first: whoever sees the message sees why it went or did not."""
    query = visible(actor, m.SendDecision).where(m.SendDecision.message_id == message.id)
    return list(session.scalars(query.order_by(m.SendDecision.decided_at.desc(), m.SendDecision.id.desc()).limit(20)))


@dataclass(frozen=True, slots=True)
class Other:
    """Another conversation with the same contact."""

    id: uuid.UUID
    channel_account_id: uuid.UUID
    status: str
    last_preview: str
    last_message_at: datetime


@dataclass(frozen=True, slots=True)
class Beside:
    """What belongs to an open conversation besides its thread."""

    draft: str
    client_message_id: uuid.UUID | None
    label_ids: list[uuid.UUID]
    others: list[Other]


def beside(actor: Actor, conversation: m.Conversation) -> Beside:
    """This person's draft, the labels and the contact's other conversations they may see, by one statement."""
    c, draft, label = m.Conversation, m.Draft, m.ConversationLabel
    other = (
        visible(actor, c).where(c.contact_id == conversation.contact_id, c.id != conversation.id)
        .with_only_columns(c.id, c.channel_account_id, c.status, c.last_preview, c.last_message_at)
        .order_by(c.last_message_at.desc()).limit(5).subquery()
    )  # fmt: skip
    mine = visible(actor, draft).where(draft.conversation_id == conversation.id).subquery()
    labels = (
        select(func.coalesce(func.array_agg(label.label_id), cast_sql(literal("{}"), ARRAY(Uuid()))))
        .where(label.organization_id == conversation.organization_id, label.conversation_id == conversation.id)
    )  # fmt: skip
    row = session.execute(
        select(
            select(mine.c.text).scalar_subquery().label("draft"),
            select(mine.c.client_message_id).scalar_subquery().label("client_message_id"),
            labels.scalar_subquery().label("labels"),
            select(func.json_agg(func.row_to_json(other.table_valued()))).scalar_subquery().label("others"),
        )
    ).one()
    return Beside(row.draft or "", row.client_message_id, list(row.labels), [_other(each) for each in row.others or []])


def _other(row: dict[str, Any]) -> Other:
    return Other(
        uuid.UUID(row["id"]), uuid.UUID(row["channel_account_id"]), row["status"], row["last_preview"],
        datetime.fromisoformat(row["last_message_at"]),
    )  # fmt: skip


def has_files(actor: Actor, message: m.Message) -> bool:
    query = visible(actor, m.Attachment).where(m.Attachment.message_id == message.id)
    return bool(session.scalar(select(query.exists())))


def attachment_of(actor: Actor, id: uuid.UUID | str) -> m.Attachment:
    """A file of a message this person sees, or NotFound."""
    return access.get(actor, m.Attachment, id)


def who_can_see(actor: Actor, conversation: m.Conversation) -> list[tuple[m.Membership, bool]]:
    """Every active colleague, and whether the visibility function shows them this conversation: asked for each, not guessed."""
    require(actor, Permission.INBOX_OPEN)
    members = list(
        session.scalars(
            visible(actor, m.Membership).where(m.Membership.active).limit(500)
            .options(joinedload(m.Membership.user), joinedload(m.Membership.custom_role))
        )
    )  # fmt: skip
    teams: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for row in session.scalars(visible(actor, m.TeamMember)):
        teams[row.membership_id].add(row.team_id)
    found: list[tuple[m.Membership, bool]] = []
    for start in range(0, len(members), 50):
        part = members[start : start + 50]
        actors = [access.member(member.user, member, frozenset(teams[member.id])) for member in part]
        tests = [visible(one, m.Conversation).where(m.Conversation.id == conversation.id).exists() for one in actors]
        answers = session.execute(select(*[test.label(f"m{n}") for n, test in enumerate(tests)])).one()
        found += list(zip(part, map(bool, answers), strict=True))
    return sorted(found, key=lambda pair: (not pair[1], str(pair[0].user).lower()))


# ---------------------------------------------------------------- below


Reactions = dict[str, dict[str, str]]
"""By provider id of the message: {who: emoji}, of each side the last."""


def _message_entries(
    actor: Actor, messages: list[m.Message], reactions: Reactions, alone: bool = False
) -> list[Entry]:
    files: dict[uuid.UUID, list[m.Attachment]] = defaultdict(list)
    with_files = [message.id for message in messages if message.kind in FILES or message.kind == "template"]
    if with_files:
        for file in session.scalars(visible(actor, m.Attachment).where(m.Attachment.message_id.in_(with_files))):
            files[file.message_id].append(file)
    known: dict[str | None, m.Message] = {message.provider_id: message for message in messages if message.provider_id}
    _add_quoted(actor, messages, known)
    return [
        Entry(
            "message", message.at, message.id, message.author_id, message=message, attachments=tuple(files[message.id]),
            quoted=known.get(message.reply_to) if message.reply_to and message.kind != "reaction" else None,
            reactions=tuple((who, emoji) for who, emoji in reactions.get(message.provider_id or "", {}).items() if emoji),
            text=message.text,
        )
        for message in messages if alone or not _is_chip(message, known)
    ]  # fmt: skip


def _add_quoted(actor: Actor, messages: list[m.Message], known: dict[str | None, m.Message]) -> None:
    """Quoted messages that are further up than this page."""
    wanted = {message.reply_to for message in messages if message.reply_to} - set(known)
    if not wanted:
        return
    table = m.Message
    query = visible(actor, table).where(
        table.conversation_id == messages[0].conversation_id, table.provider_id.in_(wanted), table.kind != "reaction"
    )
    for message in session.scalars(query):
        known[message.provider_id] = message


def _is_chip(message: m.Message, known: dict[str | None, m.Message]) -> bool:
    """A reaction sits on the message it is about; only when that message is not ours to show is it a line of its own."""
    return message.kind == "reaction" and message.content.get("message_id") in known


def _asides(
    conversation: m.Conversation, since: datetime | None, until: datetime | None, about: list[str]
) -> tuple[list[Entry], Reactions]:
    """Notes and happenings between two moments and reactions to these messages, by one statement.

    They belong to the conversation that the caller was shown, so they are read by its id and not judged once more.
    """
    note, event, message = m.Note, m.AuditEvent, m.Message
    notes = select(
        literal("note").label("type"), note.created_at.label("at"), note.id, note.author_id, note.text,
        literal("").label("who"), literal(None, JSONB).label("diff"),
    ).where(note.organization_id == conversation.organization_id, note.conversation_id == conversation.id)  # fmt: skip
    events = select(
        literal("event"), event.at, event.id, event.actor_id, event.action, event.actor_name, event.diff
    ).where(
        event.organization_id == conversation.organization_id, event.object_type == "conversation",
        event.object_id == str(conversation.id), event.action.in_(SHOWN_ACTIONS),
    )  # fmt: skip
    if since is not None:
        notes, events = notes.where(note.created_at >= since), events.where(event.at >= since)
    if until is not None:
        notes, events = notes.where(note.created_at < until), events.where(event.at < until)
    reactions = select(
        literal("reaction"), message.at, message.id, message.author_id, message.reply_to, message.author_kind,
        message.content,
    ).where(
        message.organization_id == conversation.organization_id, message.conversation_id == conversation.id,
        message.channel_account_id == conversation.channel_account_id, message.kind == "reaction",
        message.reply_to.in_(about),
    )  # fmt: skip
    parts = [
        notes.order_by(note.created_at.desc()).limit(MOST_ASIDES).subquery().select(),
        events.order_by(event.at.desc()).limit(MOST_ASIDES).subquery().select(),
        *([reactions.order_by(message.at.desc()).limit(MOST_ASIDES).subquery().select()] if about else []),
    ]
    entries: list[Entry] = []
    chips: Reactions = defaultdict(dict)
    for row in sorted(session.execute(union_all(*parts)), key=lambda row: row.at):
        if row.type == "reaction":
            chips[row.text][row.who] = str(row.diff.get("emoji") or "")
        elif row.type == "note":
            entries.append(Entry("note", row.at, row.id, row.author_id, text=row.text))
        else:
            entries.append(
                Entry("event", row.at, row.id, row.author_id, action=row.text, actor_name=row.who, diff=row.diff or {})
            )
    return entries, chips


def explained(decision: m.SendDecision) -> Decision | None:
    """The decision with every rule's verdict, computed again from its stored Facts."""
    from whatalker.services import deciding

    return cast("Decision | None", deciding.replay(decision))


def _write_key(at: datetime, id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(id)]).encode()).decode().rstrip("=")


def _read_key(text: str) -> tuple[datetime, uuid.UUID]:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        at, id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        moment, key = datetime.fromisoformat(at), uuid.UUID(id)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise Invalid(_("That page is not there any more; open the conversation again."), "unknown_page") from None
    if moment.tzinfo is None:
        raise Invalid(_("That page is not there any more; open the conversation again."), "unknown_page")
    return moment, key
