"""One page of a long list, found by the key of the row before it; its one rule: no OFFSET, so page 1,000 costs what page 1 does."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from whatalker.db import session
from whatalker.errors import NotFound

LONGEST = 1_000
"""Characters of a key; ours are shorter."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by: columns of one index, the last of them the id, so that no two rows are equal."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of one page, and the keys of its neighbours; None: there is none."""

    rows: Sequence[Any]
    previous: str | None
    next: str | None


def fetch(query: Select[Any], order: Order, key: str | None, limit: int) -> Stretch:
    """At most `limit` rows after the key (or before it, where the key says so), always in the list's own direction."""
    backwards, values = read_key(order, key) if key else (False, [])
    falling = order.descending != backwards
    if values:
        here = tuple_(*order.columns)
        there = tuple_(*[literal(value, column.type) for value, column in zip(values, order.columns, strict=True)])
        query = query.where(here < there if falling else here > there)
    sorting: list[ColumnElement[Any]] = [column.desc() if falling else column.asc() for column in order.columns]
    found = list(session.scalars(query.order_by(*sorting).limit(limit + 1)).unique())
    more = len(found) > limit
    rows = found[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return Stretch(rows, None, None)
    before = more if backwards else bool(key)
    after = bool(key) if backwards else more
    return Stretch(
        rows,
        write_key(order, rows[0], backwards=True) if before else None,
        write_key(order, rows[-1]) if after else None,
    )


def write_key(order: Order, row: Any, *, backwards: bool = False) -> str:
    values = [getattr(row, column.key) for column in order.columns]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    text = json.dumps([int(backwards), *plain], default=str, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_key(order: Order, text: str) -> tuple[bool, list[Any]]:
    """Whether to go backwards, and the values; anything that is not a key of this list is NotFound."""
    try:
        if len(text) > LONGEST:
            raise ValueError("too long")
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        backwards, *values = json.loads(raw)
        if backwards not in (0, 1):
            raise ValueError("no direction")
        return bool(backwards), [_value(column, value) for column, value in zip(order.columns, values, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error):
        raise NotFound(_("This page of the list is not there any more; open the list again."), "unknown_page") from None


def _value(column: InstrumentedAttribute[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is uuid.UUID:
        return uuid.UUID(value)
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("a moment without a zone")
        return moment
    if not isinstance(value, kind) or (isinstance(value, str) and "\x00" in value):
        raise ValueError("another type")
    if isinstance(value, int) and abs(value) > 2**31:
        raise ValueError("too large")
    return value
