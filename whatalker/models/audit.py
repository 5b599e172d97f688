"""Who changed what, when, why and how; append-only, written only by services/auditing.py, where the hash chain will live."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now, primary_id


class AuditEvent(Model):
    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_newest", "organization_id", "at", "id"),
        Index("ix_audit_event_object", "organization_id", "object_type", "object_id", "at"),
    )

    id: Mapped[uuid.UUID] = primary_id()
    organization_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("organization.id"))
    """Empty: the provider's own affair (a sign-in, a reading across organizations)."""
    at: Mapped[datetime] = mapped_column(default=now)
    action: Mapped[str] = mapped_column(String(60))
    """noun.past_participle"""
    actor_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("user_account.id"))
    actor_kind: Mapped[str] = mapped_column(String(16))
    """user, staff, system, contact, provider."""
    actor_name: Mapped[str] = mapped_column(String(120), default="")
    """As it was then."""
    object_type: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(80), default="")
    reason: Mapped[str] = mapped_column(default="")
    diff: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    """field: [before, after]; secrets appear as "changed" only."""
    request_id: Mapped[str] = mapped_column(String(64), default="")
    ip: Mapped[str] = mapped_column(String(45), default="")
