"""A message asked for: checked, stored and queued, or only judged; its one rule: the same client_message_id is the same message.

Whether it may be sent is decided at the gate, not here: a refusal is a stored outcome that somebody can look up, never an error.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert

from whatalker import channels, policies
from whatalker import models as m
from whatalker.access import Actor, Permission, get, require
from whatalker.channels import Outgoing
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict, Invalid, NotFound
from whatalker.events import Event, publish
from whatalker.policies import Decision
from whatalker.queues import BULK, INTERACTIVE, Job, enqueue
from whatalker.services import auditing, deciding, fetching, summarizing
from whatalker.services.deciding import Asked
from whatalker.services.rendering import TemplateField, render_template, template_fields

__all__ = [
    "TemplateField", "cancel_message", "preview", "queue_message", "render_template", "retry_message", "template_fields",
]  # fmt: skip

KINDS = frozenset({
    "text", "image", "video", "audio", "document", "sticker", "location", "contacts", "interactive", "reaction", "template",
})  # fmt: skip
PURPOSES = {"MARKETING": "marketing", "UTILITY": "transactional", "AUTHENTICATION": "authentication"}
AUTHORS = {"user": "agent", "staff": "agent", "api": "api", "campaign": "campaign", "automation": "automation"}
LIFE = {"authentication": timedelta(minutes=10)}
"""After which a message of this purpose is of no use to anybody and is not sent any more."""

M = m.Message


def queue_message(
    actor: Actor, conversation: m.Conversation, kind: str, content: Mapping[str, Any], *, text: str | None = None,
    client_message_id: uuid.UUID | None = None, reply_to: str | None = None, template: m.Template | None = None,
    purpose: str | None = None, lane: str = INTERACTIVE, not_after: datetime | None = None,
    available_at: datetime | None = None,
) -> m.Message:  # fmt: skip
    """Store it as queued and ring for its dispatch; with a client_message_id that is known, answer the message it already is.

    Invalid where the content is not of its kind. `available_at` sends it later. Does not ask whether it may be sent: preview()
    tells now, the gate decides then.
    """
    require(actor, Permission.MESSAGE_SEND)
    if client_message_id is not None and (known := _known(actor, conversation, client_message_id)):
        return known
    message = _written(actor, conversation, kind, content, template, purpose)
    _check(message, conversation)
    moment = now()
    life = LIFE.get(message.purpose)
    row = session.execute(
        insert(M).values(
            organization_id=conversation.organization_id, id=new_id(), conversation_id=conversation.id,
            contact_id=conversation.contact_id, channel_account_id=conversation.channel_account_id, direction="out", kind=kind,
            content=dict(content), text=text if text is not None else _text(kind, content), status="queued",
            at=max(moment, available_at or moment), created_at=moment, reply_to=reply_to, author_id=message.author_id,
            author_kind=message.author_kind, purpose=message.purpose, template_id=message.template_id,
            client_message_id=client_message_id, lane=BULK if lane == BULK else INTERACTIVE,
            available_at=available_at or moment, hold_reason="", not_after=not_after or (moment + life if life else None),
            attempt=0, error_code="", error_text="",
        )
        .on_conflict_do_nothing(index_elements=["organization_id", "client_message_id"])
        .returning(M)
    ).scalar_one_or_none()  # fmt: skip
    if row is None:
        # The other click was faster; what it stored is committed, or this statement would still be waiting for it.
        return cast(m.Message, _known(actor, conversation, client_message_id))
    _tell(actor, row)
    return row


def preview(
    actor: Actor, conversation: m.Conversation, kind: str, content: Mapping[str, Any], *, template: m.Template | None = None,
    purpose: str | None = None,
) -> Decision:  # fmt: skip
    """What the rules would say now; nothing is stored."""
    require(actor, Permission.MESSAGE_SEND)
    message = _written(actor, conversation, kind, content, template, purpose)
    return policies.decide(deciding.gather_facts([message], now())[0])


def cancel_message(actor: Actor, message: m.Message) -> None:
    """Take it back before anybody has begun to send it; Conflict when somebody has."""
    require(actor, Permission.MESSAGE_SEND)
    said = _("%(name)s took it back before it was sent.", name=actor.name)
    if not _finish(message, M.status == "queued", "expired", "cancelled", said):
        raise Conflict(_("It is being sent, or was sent already; look at its ticks."), "not_cancellable")
    session.add(_event(message.organization_id, message.id, "cancelled", {"by": actor.name}))
    auditing.record(actor, "message.cancelled", message, diff={"status": ["queued", "expired"]})
    session.flush()
    summarizing.summarize(message.organization_id, [message.conversation_id])
    _publish(Event.MESSAGE_CHANGED, message)


def retry_message(actor: Actor, message: m.Message) -> m.Message:
    """Write the same again, as a new message; twice is once. Never while it is unknown whether the first one arrived."""
    require(actor, Permission.MESSAGE_SEND)
    if message.status == "unknown":
        raise Conflict(_("The provider has not confirmed it yet. We are checking; it may have arrived."), "outcome_unknown")
    if message.direction != "out" or message.status not in ("failed", "expired", "blocked"):
        raise Conflict(_("Only a message that was not sent can be sent again."), "not_retryable")
    template = get(actor, m.Template, message.template_id) if message.template_id else None
    again = queue_message(
        actor, get(actor, m.Conversation, message.conversation_id), message.kind, message.content, text=message.text,
        client_message_id=uuid.uuid5(message.id, "retry"), reply_to=message.reply_to, template=template,
        purpose=message.purpose, lane=message.lane,
    )  # fmt: skip
    a = m.Attachment
    if not session.scalar(select(a.id).where(a.organization_id == again.organization_id, a.message_id == again.id).limit(1)):
        fetching.attach(again)
    return again


def _known(actor: Actor, conversation: m.Conversation, client_message_id: uuid.UUID | None) -> m.Message | None:
    query = select(M).where(
        M.organization_id == conversation.organization_id, M.client_message_id == client_message_id
    )
    found = session.scalar(query)
    if found is not None and found.conversation_id != conversation.id:
        raise Conflict(_("This was already sent in another conversation."), "client_message_id_taken")
    return found


def _written(
    actor: Actor, conversation: m.Conversation, kind: str, content: Mapping[str, Any], template: m.Template | None,
    purpose: str | None,
) -> Asked:  # fmt: skip
    """The message as the rules see it, not stored."""
    if kind not in KINDS:
        raise Invalid(_("A message of this kind cannot be sent."), "unknown_kind")
    if (kind == "template") != (template is not None):
        raise Invalid(_("Choose a template."), "template_missing")
    usual = PURPOSES.get(template.category, "transactional") if template is not None else "service_reply"
    return cast(
        Asked,
        SimpleNamespace(
            id=new_id(), organization_id=conversation.organization_id, conversation_id=conversation.id,
            contact_id=conversation.contact_id, channel_account_id=conversation.channel_account_id, kind=kind,
            content=dict(content), purpose=purpose or usual, author_id=actor.user_id,
            author_kind=AUTHORS.get(actor.kind, "system"), template_id=template.id if template is not None else None,
        ),
    )  # fmt: skip


def _check(message: Asked, conversation: m.Conversation) -> None:
    """Invalid, in words for the writer, where the channel could not even write it down."""
    a = m.ChannelAccount
    channel = session.scalar(
        select(a.channel).where(a.organization_id == conversation.organization_id, a.id == conversation.channel_account_id)
    )
    if channel is None:
        raise NotFound(_("There is no such number."), "unknown_number")
    if not deciding.has_content(message.kind, message.content):
        raise Invalid(_("The message is empty."), "empty")
    build = getattr(channels.get(channel), "build", None)
    if build is not None:
        # A file of ours gets the provider's id right before it is sent (fetching.upload_for).
        content = {**message.content, "media_id": "later"} if message.content.get("file") else message.content
        build(Outgoing(message_id=message.id, attempt=1, to="1", kind=message.kind, content=content))


def _text(kind: str, content: Mapping[str, Any]) -> str:
    """What a person reads of it, and what is searched."""
    for key in ("text", "caption", "body", "filename", "name", "emoji"):
        if kind != "template" and isinstance(content.get(key), str):
            return str(content[key])
    return ""


def _tell(actor: Actor, message: m.Message) -> None:
    session.add(_event(message.organization_id, message.id, "queued", {"by": actor.name, "kind": actor.kind}))
    session.flush()
    summarizing.summarize(message.organization_id, [message.conversation_id])
    _publish(Event.MESSAGE_QUEUED, message)
    if message.available_at <= now():
        words = (str(message.organization_id), str(message.channel_account_id), message.lane)
        enqueue(message.lane, Job.DISPATCH, *words)


def _event(organization: uuid.UUID, message: uuid.UUID, kind: str, data: dict[str, Any]) -> m.MessageEvent:
    return m.MessageEvent(
        organization_id=organization, message_id=message, event_key=f"{message}:{kind}", kind=kind, at=now(), data=data
    )


def _finish(message: m.Message, still: ColumnElement[bool], status: str, code: str, said: str) -> bool:
    changed = session.execute(
        update(M)
        .where(M.organization_id == message.organization_id, M.id == message.id, M.direction == "out", still)
        .values(status=status, error_code=code, error_text=said, hold_reason="")
        .execution_options(synchronize_session="fetch")
    )
    return bool(cast(Any, changed).rowcount)


def _publish(event: Event, message: m.Message) -> None:
    publish(event, message.organization_id, conversation_id=message.conversation_id, message_id=message.id)
    publish(Event.CONVERSATION_CHANGED, message.organization_id, conversation_id=message.conversation_id)
