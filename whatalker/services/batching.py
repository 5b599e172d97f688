"""Many rows by one statement: they travel as one JSON parameter; its one rule: the number of statements never depends on the rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import CursorResult, text

from whatalker.db import session


def as_rows(values: Iterable[Mapping[str, Any]]) -> str:
    """For jsonb_to_recordset: ids and moments as text, which PostgreSQL reads back by the column's type."""
    return json.dumps(list(values), default=str, separators=(",", ":"))


def run(sql: str, rows: Iterable[Mapping[str, Any]] = (), **values: Any) -> CursorResult[Any]:
    """Run one statement over the rows, which it names `jsonb_to_recordset(cast(:rows as jsonb))`."""
    return session.execute(text(sql), {"rows": as_rows(rows)} | values)  # type: ignore[return-value]
