"""What lists show of a conversation, computed from its messages; its one rule: the answer never depends on the order they came in."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from sqlalchemy import text

from whatalker.db import session
from whatalker.services.batching import run

SILENT = ("reaction", "system", "request_welcome")
"""Kinds that say nothing to answer: they are not unread, open no window and are nobody's last word."""

SIGNS = {
    "image": "📷", "video": "🎞", "audio": "🎤", "document": "📄", "sticker": "🖼", "location": "📍", "contacts": "👤",
    "order": "🛒", "interactive": "☰", "template": "☰", "unsupported": "❔",
}  # fmt: skip
"""A last message without words is shown by its sign, which reads the same in every language."""

GONE = "⊘"


def preview(kind: str, words: str, filename: str | None = None, removed: bool = False) -> str:
    """At most 160 characters on one line; a message the contact deleted shows only that it was there."""
    if removed:
        return GONE
    said = " ".join((words or filename or "").split())
    sign = SIGNS.get(kind, "") if kind not in ("template", "interactive") or not said else ""
    return f"{sign} {said}".strip()[:160]


_LOOK = """
select c.id, said.at, said.direction, said.kind, said.text, said.filename, said.removed, silent.at,
  sent.status, sent.failed_at, waits.at
from conversation c
left join lateral (
  select m.at, m.direction, m.kind, left(m.text, 400) as text, m.content ->> 'filename' as filename,
    m.removed_at is not null as removed
  from message m where m.organization_id = c.organization_id and m.conversation_id = c.id and m.kind <> all (:silent)
  order by m.at desc, m.provider_id desc nulls first limit 1) said on true
left join lateral (
  select max(m.at) as at from message m
  where said.at is null and m.organization_id = c.organization_id and m.conversation_id = c.id) silent on true
left join lateral (
  select m.status, m.failed_at from message m
  where m.organization_id = c.organization_id and m.conversation_id = c.id and m.direction = 'out' and m.kind <> 'reaction'
  order by m.at desc, m.id desc limit 1) sent on true
left join lateral (
  select m.at from message m
  where m.organization_id = c.organization_id and m.conversation_id = c.id and m.direction = 'out'
    and m.kind <> all (:silent) and m.status not in ('failed', 'blocked', 'expired')
  order by m.at desc limit 1) answered on true
left join lateral (
  select min(m.at) as at from message m
  where c.waiting_since is not null and m.organization_id = c.organization_id and m.conversation_id = c.id
    and m.direction = 'in' and m.kind <> all (:silent)
    and m.at >= greatest(c.waiting_since, date_trunc('second', answered.at))) waits on true
where c.organization_id = :organization and c.id = any (:ids)
"""

_WRITE = """
update conversation c set last_message_at = coalesce(r.at, c.last_message_at), last_preview = r.preview,
  last_direction = coalesce(r.direction, c.last_direction), failed_at = r.failed_at, waiting_since = r.waiting_since
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, at timestamptz, preview text, direction text,
  failed_at timestamptz, waiting_since timestamptz)
where c.organization_id = :organization and c.id = r.id
"""


def summarize(organization_id: uuid.UUID, ids: Collection[uuid.UUID]) -> None:
    """Set last message, preview, direction, failure and waiting of these conversations; two statements, however many."""
    if not ids:
        return
    found = session.execute(text(_LOOK), {"organization": organization_id, "ids": sorted(ids), "silent": list(SILENT)})
    rows = [
        {"id": id, "at": at or silent_at, "direction": direction, "waiting_since": waits_at,
         "preview": preview(kind, words, filename, removed) if kind else "",
         "failed_at": failed_at if status == "failed" else None}
        for id, at, direction, kind, words, filename, removed, silent_at, status, failed_at, waits_at in found
    ]  # fmt: skip
    run(_WRITE, sorted(rows, key=lambda row: str(row["id"])), organization=organization_id)
