"""The thread between one contact and one number, with what lists need kept on the row so that no list reads the messages."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from whatalker.db import Model, new_id, now
from whatalker.models.channel_account import ChannelAccount
from whatalker.models.contact import Contact, ContactIdentity
from whatalker.models.organization import Label, OfOrganization, reference

STATUSES = ("open", "snoozed", "resolved")


class Conversation(OfOrganization, Model):
    __tablename__ = "conversation"
    __table_args__ = (
        reference("contact_id", "contact"),
        reference("identity_id", "contact_identity"),
        reference("channel_account_id", "channel_account"),
        reference("team_id", "team"),
        UniqueConstraint("organization_id", "channel_account_id", "identity_id"),
        CheckConstraint(f"status in {STATUSES}", name="status"),
        Index("ix_conversation_newest", "organization_id", "last_message_at", "id"),
        Index(
            "ix_conversation_mine", "organization_id", "assignee_id", "last_message_at", "id",
            postgresql_where="status = 'open'",
        ),
        Index(
            "ix_conversation_unassigned", "organization_id", "waiting_since", "id",
            postgresql_where="status = 'open' and assignee_id is null",
        ),
        Index(
            "ix_conversation_unread", "organization_id", "last_message_at", "id",
            postgresql_where="unread_count > 0",
        ),
        Index(
            "ix_conversation_closing", "organization_id", "window_expires_at", "id",
            postgresql_where="status = 'open'",
        ),
        Index("ix_conversation_snoozed", "snoozed_until", postgresql_where="status = 'snoozed'"),
        Index(None, "organization_id", "contact_id"),
    )  # fmt: skip

    contact_id: Mapped[uuid.UUID]
    identity_id: Mapped[uuid.UUID]
    """The identity the contact wrote from last: where an answer goes."""
    identity_at: Mapped[datetime | None]
    """The provider's time of the news that chose the identity."""
    channel_account_id: Mapped[uuid.UUID]
    team_id: Mapped[uuid.UUID | None]
    """Whose inbox it is in; empty: everyone's."""
    assignee_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("user_account.id"))
    assigned_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(String(16), default="open")
    snoozed_until: Mapped[datetime | None]
    unread_count: Mapped[int] = mapped_column(default=0)
    """Messages of the contact that nobody of ours has opened."""
    last_message_at: Mapped[datetime] = mapped_column(default=now)
    """Sorts the lists; a list pages by (last_message_at, id)."""
    last_preview: Mapped[str] = mapped_column(String(160), default="")
    last_direction: Mapped[str] = mapped_column(String(3), default="in")
    last_inbound_at: Mapped[datetime | None]
    """The provider's time of the contact's last message, never ours."""
    window_expires_at: Mapped[datetime | None]
    """Until when free text may be sent: last inbound + 24 h, 72 h after a free-entry-point referral (Meta, customer service
    windows). Empty: never opened."""
    waiting_since: Mapped[datetime | None]
    """Since when the contact waits for an answer; empty: nobody waits."""
    failed_at: Mapped[datetime | None]
    """The last message of ours failed then and nobody has sent another since."""
    marketing_stopped_at: Mapped[datetime | None]
    """The badge "opted out of marketing"; the decision reads the suppression, not this."""
    created_at: Mapped[datetime] = mapped_column(default=now)

    contact: Mapped[Contact] = relationship(lazy="raise", overlaps="organization_id", viewonly=True)
    identity: Mapped[ContactIdentity] = relationship(lazy="raise", overlaps="organization_id", viewonly=True)
    channel_account: Mapped[ChannelAccount] = relationship(lazy="raise", overlaps="organization_id", viewonly=True)
    labels: Mapped[list[Label]] = relationship(
        secondary="conversation_label", lazy="raise", viewonly=True, order_by="Label.name"
    )


class ConversationLabel(OfOrganization, Model):
    __tablename__ = "conversation_label"
    __table_args__ = (
        reference("conversation_id", "conversation", ondelete="CASCADE"),
        reference("label_id", "label", ondelete="CASCADE"),
        UniqueConstraint("organization_id", "conversation_id", "label_id"),
    )

    conversation_id: Mapped[uuid.UUID]
    label_id: Mapped[uuid.UUID]


class Note(OfOrganization, Model):
    """What colleagues tell each other inside a conversation; the contact never sees it."""

    __tablename__ = "note"
    __table_args__ = (
        reference("conversation_id", "conversation", ondelete="CASCADE"),
        Index(None, "organization_id", "conversation_id", "created_at"),
    )

    conversation_id: Mapped[uuid.UUID]
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Draft(OfOrganization, Model):
    """What someone is writing, kept until sent: it survives a closed window, a lost connection and another browser."""

    __tablename__ = "draft"
    __table_args__ = (
        reference("conversation_id", "conversation", ondelete="CASCADE"),
        UniqueConstraint("organization_id", "conversation_id", "user_id"),
    )

    conversation_id: Mapped[uuid.UUID]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(default="")
    client_message_id: Mapped[uuid.UUID] = mapped_column(default=new_id)
    """Made when the draft starts, so that a double click, a retry and two tabs are one message."""
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
