"""What people write down for themselves: notes, drafts and canned replies; its one rule: none of it ever reaches a contact by itself."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from whatalker import access
from whatalker import models as m
from whatalker.access import Actor, Permission, require, visible
from whatalker.db import new_id, now, session
from whatalker.errors import Invalid
from whatalker.events import Event, publish
from whatalker.services import auditing

LONGEST_NOTE = 4_000
LONGEST_DRAFT = 10_000
"""Characters; a draft may be longer than any message, so that nothing typed is lost."""

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+(?:\.[a-z_]+)*)\s*\}\}")


# ---------------------------------------------------------------- notes


def add_note(actor: Actor, conversation: m.Conversation, text: str) -> m.Note:
    """A note for colleagues, in the thread of those who see the conversation."""
    require(actor, Permission.NOTE_CREATE)
    if actor.user_id is None:
        raise Invalid(_("Only a person can write a note."), "not_a_person")
    text = _clean(text).strip()
    if not text:
        raise Invalid(_("The note is empty."), "empty")
    if len(text) > LONGEST_NOTE:
        raise Invalid(_("A note has at most %(number)s characters.", number=LONGEST_NOTE), "too_long")
    note = m.Note(
        id=new_id(), organization_id=conversation.organization_id, conversation_id=conversation.id,
        author_id=actor.user_id, text=text, created_at=now(),
    )  # fmt: skip
    session.add(note)
    auditing.record(actor, "note.created", note, diff={"conversation_id": [None, str(conversation.id)]})
    publish(Event.CONVERSATION_CHANGED, note.organization_id, conversation_id=conversation.id, note_id=note.id)
    return note


def notes_of(actor: Actor, conversation: m.Conversation, limit: int = 5) -> list[m.Note]:
    """The newest notes, newest first."""
    query = visible(actor, m.Note).where(m.Note.conversation_id == conversation.id)
    return list(session.scalars(query.order_by(m.Note.created_at.desc()).limit(limit)))


# ---------------------------------------------------------------- drafts


def draft_of(actor: Actor, conversation: m.Conversation) -> m.Draft | None:
    """This person's own draft here; nobody else's is ever shown."""
    return session.scalar(visible(actor, m.Draft).where(m.Draft.conversation_id == conversation.id))


def save_draft(
    actor: Actor, conversation: m.Conversation, text: str, client_message_id: uuid.UUID | None = None
) -> m.Draft:
    """Keep what is being written. The first keeping fixes the message's client id; later ones change only the text."""
    if actor.user_id is None:
        raise Invalid(_("Only a person can keep a draft."), "not_a_person")
    table, moment, kept = m.Draft, now(), _clean(text)[:LONGEST_DRAFT]
    values = {
        "id": new_id(), "organization_id": conversation.organization_id, "conversation_id": conversation.id,
        "user_id": actor.user_id, "text": kept, "client_message_id": client_message_id or new_id(),
        "updated_at": moment,
    }  # fmt: skip
    statement = insert(table).values(**values).on_conflict_do_update(
        index_elements=["organization_id", "conversation_id", "user_id"], set_={"text": kept, "updated_at": moment}
    )  # fmt: skip
    return session.scalars(
        statement.returning(table), execution_options={"populate_existing": True}
    ).one()


def drop_draft(actor: Actor, conversation: m.Conversation) -> None:
    """It was sent, or is not wanted: the next draft is a new message. Twice is once."""
    table = m.Draft
    session.execute(
        delete(table).where(table.organization_id == conversation.organization_id,
                            table.conversation_id == conversation.id, table.user_id == actor.user_id)
    )  # fmt: skip


# ---------------------------------------------------------------- canned replies


@dataclass(frozen=True, slots=True)
class Canned:
    """A canned reply as it would be sent here."""

    shortcut: str
    text: str
    unresolved: tuple[str, ...]
    """Names in it that nothing here fills in: they block the send until somebody does."""


def find_canned(actor: Actor, conversation: m.Conversation, text: str, limit: int = 8) -> list[Canned]:
    """Those whose shortcut begins with the text, then those that contain it; variables filled in for this conversation."""
    require(actor, Permission.INBOX_OPEN)
    table, wanted = m.CannedReply, _clean(text).strip().lstrip("/").lower()[:80]
    query = visible(actor, table)
    if wanted:
        query = query.where(
            or_(table.shortcut.istartswith(wanted, autoescape=True), table.text.icontains(wanted, autoescape=True))
        )
    order = (table.shortcut.istartswith(wanted, autoescape=True).desc(), table.shortcut)
    replies = session.scalars(query.order_by(*order).limit(limit))
    values = _values(actor, conversation)
    return [_filled_in(reply, values) for reply in replies]


def unresolved(text: str) -> tuple[str, ...]:
    """Placeholders left in a text: a contact must never read "{{contact.name}}"."""
    return tuple(dict.fromkeys(match[1] for match in PLACEHOLDER.finditer(text)))


def _values(actor: Actor, conversation: m.Conversation) -> dict[str, str]:
    organization = session.scalar(select(m.Organization.name).where(m.Organization.id == conversation.organization_id))
    name = conversation.contact.name if access.can(actor, Permission.CONTACT_READ) else ""
    return {
        "contact.name": name, "contact.first_name": name.split(" ")[0], "agent.name": actor.name,
        "agent.first_name": actor.name.split(" ")[0], "organization.name": organization or "",
    }  # fmt: skip


def _filled_in(reply: m.CannedReply, values: dict[str, str]) -> Canned:
    text = PLACEHOLDER.sub(lambda match: values.get(match[1]) or match[0], reply.text)
    return Canned(reply.shortcut, text, unresolved(text))


def _clean(text: str) -> str:
    """PostgreSQL takes no NUL and no lone surrogate; browsers send line ends as CR LF."""
    plain = text.replace("\x00", "").replace("\r\n", "\n")
    return plain.encode("utf-8", "replace").decode("utf-8")
