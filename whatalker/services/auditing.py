"""The one place that writes the audit: who changed what, why and how; a line can be added and never changed.

The hash chain belongs here and nowhere else: every line of an organization passes through record().
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import inspect

from whatalker.access import Actor
from whatalker.db import Model, session
from whatalker.models import AuditEvent

SECRET = frozenset({"credentials", "password", "tf_totp_secret", "mf_recovery_codes", "fs_uniquifier", "token_hash"})
"""Columns whose values never enter the audit: it says only that they changed."""


def record(actor: Actor, action: str, subject: Model, *, reason: str = "", diff: dict[str, Any] | None = None) -> None:
    """Add a line about `subject`; without a diff, what has changed on it since it was loaded and not yet been flushed."""
    changes = diff if diff is not None else pending_changes(subject)
    session.add(
        AuditEvent(
            organization_id=getattr(subject, "organization_id", None)
            or (subject.id if subject.__tablename__ == "organization" else actor.organization_id),  # type: ignore[attr-defined]
            action=action,
            actor_id=actor.user_id,
            actor_kind=actor.kind,
            actor_name=actor.name[:120],
            object_type=subject.__tablename__,
            object_id=str(getattr(subject, "id", "")),
            reason=reason,
            diff=changes,
            request_id=actor.request_id,
            ip=actor.ip,
        )
    )


def record_many(actor: Actor, lines: list[dict[str, Any]]) -> None:
    """Add many lines by one statement; each names action, object_type, object_id, and perhaps reason and diff."""
    common = {
        "organization_id": actor.organization_id, "actor_id": actor.user_id, "actor_kind": actor.kind,
        "actor_name": actor.name[:120], "request_id": actor.request_id, "ip": actor.ip,
    }  # fmt: skip
    session.add_all([AuditEvent(**common | line) for line in lines])


def pending_changes(subject: Model) -> dict[str, Any]:
    """{field: [before, after]} of what is changed and not yet flushed; secrets appear as "changed" only."""
    changes: dict[str, Any] = {}
    state = inspect(subject)
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if not history.has_changes():
            continue
        before, after = (history.deleted or [None])[0], (history.added or [None])[0]
        if before == after or attribute.key in ("updated_at",):
            continue
        changes[attribute.key] = "changed" if attribute.key in SECRET else [_plain(before), _plain(after)]
    return changes


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value
