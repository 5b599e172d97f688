"""A message in or out, its timeline and its files; the row is the record and the outbox, and its status only rises."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now
from whatalker.models.organization import OfOrganization, reference

STATUSES = (
    "received", "queued", "claimed", "sending", "unknown", "sent", "delivered", "read", "failed", "blocked", "expired"
)  # fmt: skip

RANKS = {"queued": 0, "claimed": 1, "sending": 2, "unknown": 3, "sent": 4, "delivered": 5, "read": 6}
"""A tick moves a message only to a higher rank; what arrives late or twice goes to the timeline alone."""

MOVES: dict[str, frozenset[str]] = {
    # From queued or claimed straight to sent and above: a tick proves that an earlier attempt of unknown outcome was accepted.
    "queued": frozenset({"claimed", "sent", "delivered", "read", "blocked", "expired", "failed"}),
    # Nothing was called while claimed: giving it back is always safe.
    "claimed": frozenset({"queued", "sending", "sent", "delivered", "read", "blocked", "expired", "failed"}),
    # Back to queued only when the provider refused before accepting, or an unknown transactional one is resent.
    "sending": frozenset({"queued", "unknown", "sent", "delivered", "read", "failed"}),
    "unknown": frozenset({"queued", "sent", "delivered", "read", "failed"}),
    "sent": frozenset({"delivered", "read", "failed"}),
    "delivered": frozenset({"read"}),
    "read": frozenset(),
    # A device may say "delivered" after another one said "failed": whatever the order, the better news stands.
    "failed": frozenset({"delivered", "read"}),
    "blocked": frozenset(),
    "expired": frozenset(),
    "received": frozenset(),
}
"""Every move there is; a trigger of the database refuses any other."""

FINAL = frozenset({"read", "failed", "blocked", "expired", "received"})

LANES = ("interactive", "bulk")


class Message(OfOrganization, Model):
    __tablename__ = "message"
    __table_args__ = (
        reference("conversation_id", "conversation"),
        reference("contact_id", "contact"),
        reference("channel_account_id", "channel_account"),
        # With the kind, for the provider has been seen to give one id to two things; the same call twice still changes nothing.
        UniqueConstraint("organization_id", "channel_account_id", "provider_id", "kind"),
        UniqueConstraint("organization_id", "client_message_id"),
        CheckConstraint(f"status in {STATUSES}", name="status"),
        CheckConstraint(f"lane in {LANES}", name="lane"),
        CheckConstraint("direction in ('in', 'out')", name="direction"),
        Index("ix_message_thread", "organization_id", "conversation_id", "at", "id"),
        # What is said about another message (reactions, edits, deletions), found from that message.
        Index(
            "ix_message_about", "organization_id", "channel_account_id", "reply_to",
            postgresql_where="kind in ('reaction', 'system') and reply_to is not null",
        ),
        # Only what still has to move is in the two indexes of the outbox: finished messages cost them nothing.
        Index(
            "ix_message_due", "organization_id", "channel_account_id", "lane", "available_at", "id",
            postgresql_where="status = 'queued'",
        ),
        Index("ix_message_open", "status", "claimed_until", postgresql_where="status in ('claimed', 'sending', 'unknown')"),
        Index("ix_message_deadline", "not_after", postgresql_where="status = 'queued' and not_after is not null"),
        {"postgresql_with": {"fillfactor": 70}},
    )  # fmt: skip

    conversation_id: Mapped[uuid.UUID]
    contact_id: Mapped[uuid.UUID]
    channel_account_id: Mapped[uuid.UUID]
    direction: Mapped[str] = mapped_column(String(3))
    kind: Mapped[str] = mapped_column(String(16))
    """text, image, template, choice … see channels/__init__.py for the content of each."""
    content: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    text: Mapped[str] = mapped_column(default="")
    """What a person reads of it, template variables filled in; also what is searched."""
    status: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(default=now)
    """Sorts the thread: the provider's time for what came in, the time it was asked for for what goes out."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    provider_id: Mapped[str | None] = mapped_column(String(200))
    """WhatsApp: the wamid."""
    reply_to: Mapped[str | None] = mapped_column(String(200))
    """The provider id of the message it quotes."""
    removed_at: Mapped[datetime | None]
    """The contact deleted it; the text is emptied, the place stays."""

    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("user_account.id"))
    author_kind: Mapped[str] = mapped_column(String(16), default="contact")
    """contact, agent, automation, campaign, api, system."""
    purpose: Mapped[str] = mapped_column(String(24), default="service_reply")
    """marketing, transactional, service_reply, authentication …: what the rules are asked about."""
    template_id: Mapped[uuid.UUID | None]
    client_message_id: Mapped[uuid.UUID | None]
    """Whoever asked chose it; the same one twice is the same message."""

    lane: Mapped[str] = mapped_column(String(12), default="interactive")
    available_at: Mapped[datetime] = mapped_column(default=now)
    """Not to be sent before; a hold or a retry moves it."""
    hold_reason: Mapped[str] = mapped_column(default="")
    """The sentence shown while it waits for available_at."""
    not_after: Mapped[datetime | None]
    """The last moment it may be sent; past it, it expires and is never late."""
    claim_token: Mapped[uuid.UUID | None]
    claimed_until: Mapped[datetime | None]
    """The end of the lease; for `sending` and `unknown`, when to look again."""
    attempt: Mapped[int] = mapped_column(SmallInteger, default=0)
    """Provider calls begun; message_id:attempt is the key the provider echoes."""

    decision_id: Mapped[uuid.UUID | None]
    error_code: Mapped[str] = mapped_column(String(64), default="")
    error_text: Mapped[str] = mapped_column(default="")
    """The provider's own title and details; what the agent reads comes from the error catalogue by code."""
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]


class MessageEvent(OfOrganization, Model):
    """One line of a message's timeline. Append-only; the same event twice is stored once."""

    __tablename__ = "message_event"
    __table_args__ = (
        UniqueConstraint("organization_id", "event_key"),
        Index(None, "organization_id", "message_id", "recorded_at"),
    )

    message_id: Mapped[uuid.UUID]
    event_key: Mapped[str] = mapped_column(String(300))
    """The provider's event identity, or ours (message id, kind and attempt)."""
    kind: Mapped[str] = mapped_column(String(24))
    """queued, decided, sending, accepted, refused, unknown, returned, sent, delivered, read, failed, blocked, expired …"""
    at: Mapped[datetime]
    """When it happened: the provider's clock for its events."""
    recorded_at: Mapped[datetime] = mapped_column(default=now)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class Attachment(OfOrganization, Model):
    """A file of a message; kept under MEDIA_ROOT by its hash, served only through the thread's own guard."""

    __tablename__ = "attachment"
    __table_args__ = (
        reference("message_id", "message"),
        Index(None, "organization_id", "message_id"),
        Index("ix_attachment_wanted", "state", "created_at", postgresql_where="state = 'wanted'"),
        CheckConstraint("state in ('wanted', 'stored', 'failed', 'gone')", name="state"),
    )

    message_id: Mapped[uuid.UUID]
    kind: Mapped[str] = mapped_column(String(16))
    """image, video, audio, document, sticker."""
    filename: Mapped[str] = mapped_column(String(240), default="")
    mime_type: Mapped[str] = mapped_column(String(120), default="application/octet-stream")
    """What the bytes are, once sniffed; before that, what the provider says."""
    size: Mapped[int | None]
    """Bytes."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the stored bytes; also the file's name under MEDIA_ROOT."""
    provider_media_id: Mapped[str | None] = mapped_column(String(200))
    """Meta keeps received media for 30 days, uploaded media as well."""
    state: Mapped[str] = mapped_column(String(8), default="wanted")
    error: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    """Downloads begun."""
    available_at: Mapped[datetime] = mapped_column(default=now)
    """Not to be fetched before: the end of a running download's lease, or the next try."""
    created_at: Mapped[datetime] = mapped_column(default=now)
