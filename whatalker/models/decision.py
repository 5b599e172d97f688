"""Why a message was or was not allowed to leave; one row for every send and every answer to "may I?". Append-only."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from whatalker.db import Model, now
from whatalker.models.organization import OfOrganization


class SendDecision(OfOrganization, Model):
    __tablename__ = "send_decision"
    __table_args__ = (
        CheckConstraint("verdict in ('allow', 'deny', 'defer')", name="verdict"),
        Index(None, "organization_id", "message_id"),
        Index("ix_send_decision_newest", "organization_id", "decided_at", "id"),
    )

    message_id: Mapped[uuid.UUID]
    verdict: Mapped[str] = mapped_column(String(8))
    code: Mapped[str] = mapped_column(String(40))
    """The verdict code that decided, `allowed` when every rule passed."""
    sentence: Mapped[str] = mapped_column(default="")
    """What did not pass, in words; empty for an allowed send."""
    not_before: Mapped[datetime | None]
    """A deferred one: the first moment to ask again."""
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """The Facts as the pure engine takes them: from these the whole trace is computed again."""
    trace_hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the trace in canonical JSON."""
    engine_version: Mapped[str] = mapped_column(String(16))
    decided_at: Mapped[datetime] = mapped_column(default=now)
    """The moment the decision speaks of."""
