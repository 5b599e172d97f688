"""Conversations and their messages, to look into; what one answers, one answers in the inbox. Private text is not for staff."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy.orm import joinedload, selectinload

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission, can
from whatalker.admin import cells
from whatalker.admin.base import Screen
from whatalker.admin.keysets import Order
from whatalker.admin.words import CONVERSATION_WORDS, MESSAGE_TONES, MESSAGE_WORDS, READS, VERDICT_WORDS
from whatalker.services import contacting, reading

C, M = m.Conversation, m.Message

PRIVATE = _l("Private: opening it needs a break-glass reason")


def private(limit: int = 120) -> cells.Cell:
    """A text between an organization and its contacts: shown to members, never to the provider's own people."""
    show = cells.long_text(limit)

    def cell(view: Any, context: Any, row: Any, name: str) -> Any:
        if security.actor().kind == "staff":
            return str(PRIVATE) if context is None else Markup('<span class="private">{}</span>').format(PRIVATE)
        return show(view, context, row, name)

    return cell


class Conversations(Screen):
    of = C
    permission = Permission.ADMIN_OPEN
    any_of = READS
    title, group, address = _l("Conversations"), "work", "conversations"
    intro = _l("Every thread you may see, newest first. Answers are written in the inbox.")
    empty = _l("No conversation yet. It appears here as soon as a contact writes to one of your numbers.")
    order = Order((C.last_message_at, C.id), descending=True)
    options = (joinedload(C.contact), joinedload(C.identity), joinedload(C.channel_account), selectinload(C.labels))
    related = {"assignee_id": m.User, "team_id": m.Team}
    choices = {"status": (_l("Status"), tuple(CONVERSATION_WORDS.items()))}
    conditions = {
        "needs": (_l("Needs"), (
            ("taking", _l("Taken by nobody"), C.assignee_id.is_(None)),
            ("repair", _l("A message that failed"), C.failed_at.is_not(None)),
            ("answer", _l("An answer: the contact waits"), C.waiting_since.is_not(None)),
        )),
    }  # fmt: skip
    column_list = (
        "contact",
        "status",
        "assignee_id",
        "team_id",
        "channel_account.name",
        "last_preview",
        "last_message_at",
    )
    column_details_list = (
        "contact", "channel_account", "status", "snoozed_until", "assignee_id", "assigned_at", "team_id", "labels",
        "unread_count", "last_preview", "last_message_at", "window_expires_at", "waiting_since", "failed_at", "id",
    )  # fmt: skip
    column_labels = {
        "contact": _l("Contact"), "status": _l("Status"), "assignee_id": _l("Assigned to"), "team_id": _l("Team"),
        "channel_account": _l("Number"), "channel_account.name": _l("Number"), "last_preview": _l("Last message"),
        "last_message_at": _l("Last activity"),
        "snoozed_until": _l("Snoozed until"), "assigned_at": _l("Assigned"), "labels": _l("Labels"),
        "unread_count": _l("Unread messages"), "window_expires_at": _l("Free text allowed until"),
        "waiting_since": _l("Contact waits since"), "failed_at": _l("Last failure"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "contact": lambda view, context, row, name: contacting.display_name(row.contact, row.identity),
        "assignee_id": cells.named(m.User), "team_id": cells.named(m.Team), "last_preview": private(80),
        "status": cells.badge(CONVERSATION_WORDS, {"open": "good", "snoozed": "warn"}),
        "labels": lambda view, context, row, name: ", ".join(label.name for label in row.labels) or cells.EMPTY,
    }  # fmt: skip
    details_template = "screens/conversation.html"

    def heading(self, row: Any) -> str:
        return contacting.display_name(row.contact, row.identity)

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        inbox = f"/inbox/{row.id}" if can(actor, Permission.INBOX_OPEN) else ""
        return {"messages_url": self.get_url("admin_messages.index_view", conversation=row.id), "inbox": inbox}


class Messages(Screen):
    of = M
    permission = Permission.ADMIN_OPEN
    any_of = READS
    title, group, address = _l("Messages"), "work", "messages"
    intro = _l("Every message in and out that you may see, with what became of it.")
    empty = _l("No message yet. Messages appear here as they come in and go out.")
    order = Order((M.id,), descending=True)
    within = {"conversation": M.conversation_id}
    related = {"channel_account_id": m.ChannelAccount, "contact_id": m.Contact, "author_id": m.User}
    choices = {
        "status": (_l("Status"), tuple(MESSAGE_WORDS.items())),
        "direction": (_l("Direction"), (("in", _l("From contacts")), ("out", _l("From us")))),
    }
    column_list = ("text", "direction", "contact_id", "channel_account_id", "kind", "status", "at")
    column_details_list = (
        "text", "direction", "kind", "status", "contact_id", "channel_account_id", "author_id", "author_kind", "purpose",
        "at", "sent_at", "delivered_at", "read_at", "failed_at", "hold_reason", "error_code", "error_text", "attempt",
        "lane", "provider_id", "id",
    )  # fmt: skip
    column_labels = {
        "text": _l("Text"), "direction": _l("Direction"), "contact_id": _l("Contact"), "channel_account_id": _l("Number"),
        "kind": _l("Kind"), "status": _l("Status"), "at": _l("Time"), "author_id": _l("Written by"),
        "author_kind": _l("Written as"), "purpose": _l("Purpose"), "sent_at": _l("Sent"), "delivered_at": _l("Delivered"),
        "read_at": _l("Read"), "failed_at": _l("Failed"), "hold_reason": _l("Waits because"),
        "error_code": _l("Error code"), "error_text": _l("Error details"), "attempt": _l("Attempts"),
        "lane": _l("Lane"), "provider_id": _l("Provider's id"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "text": private(90), "contact_id": cells.named(m.Contact), "channel_account_id": cells.named(m.ChannelAccount),
        "author_id": cells.named(m.User), "status": cells.badge(MESSAGE_WORDS, MESSAGE_TONES),
        "direction": lambda view, context, row, name: _("From contact") if row.direction == "in" else _("From us"),
    }  # fmt: skip
    column_formatters_detail = column_formatters | {"text": private(100_000)}
    details_template = "screens/message.html"

    def heading(self, row: Any) -> str:
        return _("Message from a contact") if row.direction == "in" else _("Message from us")

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        return {
            "events": reading.timeline(actor, row), "decisions": reading.decisions_of(actor, row), "words": MESSAGE_WORDS,
            "verdicts": VERDICT_WORDS, "can_decisions": can(actor, Permission.DECISION_READ),
        }  # fmt: skip
