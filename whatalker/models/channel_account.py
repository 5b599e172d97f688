"""A connected number, its secrets and its health as the provider reports it; the number decides the organization of what arrives."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now
from whatalker.models.organization import OfOrganization, reference
from whatalker.vault import EncryptedJSON

STATES = ("active", "stopped", "needs_reauth", "read_only", "disconnected")


class ChannelAccount(OfOrganization, Model):
    __tablename__ = "channel_account"
    __table_args__ = (
        # On purpose not per organization: a number that two organizations could claim would route one's messages to the other.
        UniqueConstraint("channel", "external_id"),
        CheckConstraint(f"state in {STATES}", name="state"),
        reference("team_id", "team"),
    )

    channel: Mapped[str] = mapped_column(String(16), default="whatsapp")
    external_id: Mapped[str] = mapped_column(String(64))
    """WhatsApp: the phone number id."""
    business_id: Mapped[str] = mapped_column(String(64))
    """WhatsApp: the id of the business account (WABA) the number belongs to."""
    name: Mapped[str] = mapped_column(String(120))
    """The verified name contacts see."""
    display_number: Mapped[str] = mapped_column(String(40), default="")
    credentials: Mapped[dict[str, Any]] = mapped_column(EncryptedJSON, default=dict)
    """access_token, and app_secret where it is not the platform's; encrypted, write-only in every screen."""
    team_id: Mapped[uuid.UUID | None]
    """The team whose inbox new conversations on this number land in; empty: everyone's."""
    state: Mapped[str] = mapped_column(String(16), default="active")
    """Only an active number sends; every state receives."""
    state_reason: Mapped[str] = mapped_column(default="")
    """The sentence that says why it is not active and what to do."""
    quality: Mapped[str] = mapped_column(String(16), default="UNKNOWN")
    """GREEN, YELLOW, RED or UNKNOWN, as the provider rates it."""
    messaging_limit: Mapped[str] = mapped_column(String(32), default="")
    """The provider's tier: TIER_250, TIER_2K, TIER_10K, TIER_100K, TIER_UNLIMITED."""
    throughput: Mapped[int] = mapped_column(default=80)
    """Messages a second the provider takes from this number (Meta: 80, or 1,000 once upgraded)."""
    health: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """The provider's last answer about this number, and when it was asked."""
    heard: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """{quality, limit, name, account: the provider's moment of the newest news on it}."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    def __str__(self) -> str:
        return f"{self.name} ({self.display_number})" if self.display_number else self.name


class AccountNotice(OfOrganization, Model):
    """What the provider told us about a number or its account that is not a message: shown, and never lost. Append-only."""

    __tablename__ = "account_notice"
    __table_args__ = (UniqueConstraint("organization_id", "event_key"),)

    channel_account_id: Mapped[uuid.UUID | None]
    event_key: Mapped[str] = mapped_column(String(200))
    field: Mapped[str] = mapped_column(String(80))
    """The provider's word for the kind of news."""
    understood: Mapped[bool] = mapped_column(default=True)
    """False: kept as it came; nothing of ours reacts to it."""
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(default=now)
