"""A message template as the provider has it; only an approved one can be sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now
from whatalker.models.organization import OfOrganization


class Template(OfOrganization, Model):
    __tablename__ = "template"
    __table_args__ = (UniqueConstraint("organization_id", "business_id", "name", "language"),)

    business_id: Mapped[str] = mapped_column(String(64))
    """Templates belong to the business account and serve all its numbers."""
    provider_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    name: Mapped[str] = mapped_column(String(512))
    language: Mapped[str] = mapped_column(String(16))
    category: Mapped[str] = mapped_column(String(24))
    """MARKETING, UTILITY or AUTHENTICATION."""
    status: Mapped[str] = mapped_column(String(24))
    """APPROVED, PENDING, REJECTED, PAUSED, DISABLED … the provider's words."""
    status_reason: Mapped[str] = mapped_column(default="")
    quality: Mapped[str] = mapped_column(String(16), default="UNKNOWN")
    components: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    """As the provider stores them: header, body, footer, buttons."""
    heard: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """{status, quality, category, components: the provider's moment of the newest news on it}."""
    removed_at: Mapped[datetime | None]
    """The provider no longer has it."""
    synced_at: Mapped[datetime] = mapped_column(default=now)

    def __str__(self) -> str:
        return f"{self.name} ({self.language})"
