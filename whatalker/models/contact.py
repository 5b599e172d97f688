"""A person our organizations talk to and the provider identities they are known by; ids are kept verbatim, phones are optional."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, Index, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from whatalker.db import Model, now
from whatalker.models.organization import OfOrganization, reference


class Contact(OfOrganization, Model):
    __tablename__ = "contact"
    __table_args__ = (
        reference("merged_into_id", "contact"),
        Index("ix_contact_newest", "organization_id", "created_at", "id"),
        # Search by name: a trigram index is not used under row-level security for ILIKE, a prefix of lower(name) is.
        Index("ix_contact_name", "organization_id", "name_folded", postgresql_ops={"name_folded": "text_pattern_ops"}),
    )

    name: Mapped[str] = mapped_column(String(200), default="")
    """What our people call them; the provider's profile name until someone changes it."""
    name_folded: Mapped[str] = mapped_column(Text, default="")
    """Lower case without accents, kept by services/contacting.py."""
    name_at: Mapped[datetime | None]
    """Since when: the provider's time of the profile name, or when one of ours renamed them."""
    renamed: Mapped[bool] = mapped_column(default=False)
    """One of ours gave the name: the profile name no longer replaces it."""
    language: Mapped[str | None] = mapped_column(String(8))
    country: Mapped[str | None] = mapped_column(String(2))
    """ISO 3166-1 alpha-2, from the parsed number; never the bare calling code."""
    time_zone: Mapped[str | None] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(String(254))
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """The organization's own fields."""
    owner_id: Mapped[uuid.UUID | None]
    """The user who looks after them."""
    blocked_at: Mapped[datetime | None]
    """We stopped writing to them, by hand; not the same as invalid, bounced, complained or opted out."""
    merged_into_id: Mapped[uuid.UUID | None]
    """Not empty: this row is only a signpost; its conversations and identities moved."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    identities: Mapped[list[ContactIdentity]] = relationship(
        lazy="raise", overlaps="organization_id", order_by="ContactIdentity.created_at"
    )

    def __str__(self) -> str:
        return self.name


class ContactIdentity(OfOrganization, Model):
    """One account of a contact at a provider: on WhatsApp a `wa_id`, a business-scoped `user_id`, or both."""

    __tablename__ = "contact_identity"
    __table_args__ = (
        reference("contact_id", "contact"),
        CheckConstraint("wa_id is not null or user_id is not null or phone is not null", name="known"),
        Index(
            "uq_contact_identity_canonical",
            "organization_id",
            "channel",
            "canonical",
            unique=True,
            postgresql_where="canonical is not null",
        ),
        Index(
            "uq_contact_identity_user_id",
            "organization_id",
            "channel",
            "user_id",
            unique=True,
            postgresql_where="user_id is not null",
        ),
        Index(None, "organization_id", "contact_id"),
        Index("ix_contact_identity_last_digits", "organization_id", "last_digits"),
    )

    contact_id: Mapped[uuid.UUID]
    channel: Mapped[str] = mapped_column(String(16), default="whatsapp")
    wa_id: Mapped[str | None] = mapped_column(String(64))
    """As the provider gave it last, digit for digit: it is what we send to."""
    user_id: Mapped[str | None] = mapped_column(String(160))
    """WhatsApp's business-scoped user id, verbatim; people with a username may have no phone."""
    username: Mapped[str | None] = mapped_column(String(64))
    phone: Mapped[str | None] = mapped_column(String(20))
    """E.164 when a number is known and valid, else empty."""
    canonical: Mapped[str | None] = mapped_column(String(64))
    """One key for all ways to write the number (52/521, 54/549, the Brazilian ninth digit): whatalker/phones.py."""
    last_digits: Mapped[str | None] = mapped_column(String(4))
    """The last four digits, so that search works while numbers are masked."""
    aliases: Mapped[list[str]] = mapped_column(ARRAY(String), default=list)
    """Other provider ids seen for the same account."""
    heard: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """{column: the provider's moment of the newest word on it}, so that old news arriving late changes nothing."""
    created_at: Mapped[datetime] = mapped_column(default=now)


class Suppression(OfOrganization, Model):
    """Someone said stop: no message of this purpose to this identity while it is not lifted. The next floor up keeps the ledger."""

    __tablename__ = "suppression"
    __table_args__ = (
        Index("ix_suppression_active", "organization_id", "channel", "key", postgresql_where="lifted_at is null"),
    )

    channel: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(160))
    """The identity's canonical number, or its user id."""
    purpose: Mapped[str] = mapped_column(String(24), default="marketing")
    """marketing, or `all`."""
    source: Mapped[str] = mapped_column(String(32))
    """user_preferences, provider_error, keyword, agent …"""
    evidence: Mapped[str] = mapped_column(default="")
    """The provider's id of the message or call that said so."""
    since: Mapped[datetime] = mapped_column(default=now)
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str] = mapped_column(default="")
