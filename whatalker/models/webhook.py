"""A provider's call exactly as it came, kept before anything is made of it; global, for its organization is not known yet."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now, primary_id

STATES = ("waiting", "claimed", "done", "parked", "unreadable", "unrouted")


class WebhookCall(Model):
    __tablename__ = "webhook_call"
    __table_args__ = (
        CheckConstraint(f"state in {STATES}", name="state"),
        Index("ix_webhook_call_open", "state", "available_at", "id", postgresql_where="state <> 'done'"),
    )

    id: Mapped[uuid.UUID] = primary_id()
    provider: Mapped[str] = mapped_column(String(16))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The raw bytes whose signature was checked."""
    received_at: Mapped[datetime] = mapped_column(default=now)
    state: Mapped[str] = mapped_column(String(12), default="waiting")
    """parked: its message is not here yet, asked again at available_at. unreadable and unrouted: kept, counted, shown."""
    available_at: Mapped[datetime] = mapped_column(default=now)
    claimed_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    note: Mapped[str] = mapped_column(default="")
    """What was found wanting, for the person who looks."""
    finished_at: Mapped[datetime | None]
