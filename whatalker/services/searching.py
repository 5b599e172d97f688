"""Finding a conversation by whom it is with or by what was said; its one rule: it searches only what the person may see."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import joinedload

from whatalker import models as m
from whatalker.access import Actor, Permission, can, visible
from whatalker.db import session
from whatalker.services import contacting, listing

SHORTEST = 2
"""Characters of a search; fewer would find everybody."""

DEPTH = 10_000
"""How many of the newest messages a search by text reads: its cost does not grow with the table, and the page says so."""

MOST = 20


@dataclass(frozen=True, slots=True)
class Found:
    """By whom: conversations, newest first. By text: the message and its conversation, newest first."""

    conversations: list[m.Conversation]
    messages: list[tuple[m.Message, m.Conversation]]


def search_conversations(actor: Actor, text: str) -> Found:
    """Contacts whose name begins with the text or whose number ends with it, and the newest messages that contain it."""
    people: list[m.Conversation] = []
    if can(actor, Permission.CONTACT_READ):
        contacts = contacting.search(actor, text)
        people = listing.contacts_matching(actor, [contact.id for contact in contacts])[:MOST] if contacts else []
    return Found(people, _messages(actor, text))


def _messages(actor: Actor, text: str) -> list[tuple[m.Message, m.Conversation]]:
    message, conversation = m.Message, m.Conversation
    # Row-level security keeps ILIKE from using a trigram index: the newest are read by the key, whose ids are in order of time.
    newest = (
        visible(actor, message).with_only_columns(message.id, message.conversation_id, message.text)
        .order_by(message.id.desc()).limit(DEPTH).subquery()
    )  # fmt: skip
    hits = session.execute(
        visible(actor, conversation).add_columns(message)
        .join(message, (message.organization_id == conversation.organization_id)
              & (message.conversation_id == conversation.id))
        .join(newest, newest.c.id == message.id)
        .where(newest.c.text.icontains(text, autoescape=True), message.removed_at.is_(None))
        .options(joinedload(conversation.contact), joinedload(conversation.identity))
        .order_by(message.id.desc()).limit(MOST)
    )  # fmt: skip
    return [(row[1], row[0]) for row in hits]
