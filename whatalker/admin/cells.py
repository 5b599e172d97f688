"""How a value looks in a list, in the details and in an export; its one rule: what people wrote is escaped, never trusted as markup."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import g
from flask_babel import format_date, format_time
from flask_babel import gettext as _
from markupsafe import Markup

from whatalker.db import Model

Cell = Callable[[Any, Any, Any, str], Any]
"""A Flask-Admin column formatter: view, template context (None in an export), row, column name."""

EMPTY = Markup('<span class="nothing">–</span>')
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What spreadsheets take for the start of a formula, or for a way to a new cell; the full-width forms count too."""


def guarded(value: Any) -> str:
    """The text for a spreadsheet: one that would be a formula gets an apostrophe before it, which shows it as it is."""
    text = "" if value is None else str(value)
    # A space in front does not stop every spreadsheet from reading what follows as a formula.
    return "'" + text if text.startswith(FORMULA) or text.lstrip(" \u00a0\u200b\ufeff").startswith(FORMULA) else text


def moment(view: Any, value: datetime, name: str) -> Markup:
    """In the reader's zone and language; the exact moment is in the markup for programs and the tooltip for people."""
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        value.isoformat(),
        value.strftime("%Y-%m-%d %H:%M:%S"),
        f"{format_date(value, 'medium')}, {format_time(value, 'short')}",
    )


def short_id(view: Any, value: uuid.UUID, name: str) -> Markup:
    """The last eight characters: the first ones of a time-ordered id are the same all day."""
    return Markup('<code class="id" title="{}">…{}</code>').format(value, value.hex[-8:])


def whole_id(view: Any, value: uuid.UUID, name: str) -> Markup:
    return Markup('<code class="id">{}</code>').format(value)


def yes_no(view: Any, value: bool, name: str) -> str:
    return _("Yes") if value else _("No")


def structure(view: Any, value: Any, name: str) -> Markup:
    """JSON as an indented text."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return Markup('<pre class="structure" tabindex="0">{}</pre>').format(text) if value else EMPTY


def nothing(view: Any, value: None, name: str) -> Markup:
    return EMPTY


TYPES: dict[type, Callable[[Any, Any, str], Any]] = {
    type(None): nothing,
    bool: yes_no,
    datetime: moment,
    uuid.UUID: short_id,
    dict: structure,
    list: structure,
}
IN_FULL = TYPES | {uuid.UUID: whole_id}
"""The same for details."""
PLAIN: dict[type, Callable[[Any, Any, str], Any]] = {
    type(None): lambda view, value, name: "",
    datetime: lambda view, value, name: value.isoformat(timespec="seconds"),
    dict: lambda view, value, name: json.dumps(value, ensure_ascii=False, sort_keys=True, default=str),
    list: lambda view, value, name: json.dumps(value, ensure_ascii=False, sort_keys=True, default=str),
}
"""The same for exports: nothing but text."""


def badge(words: Mapping[str, Any], tones: Mapping[str, str]) -> Cell:
    """A value from a closed list as a word with a tone (good, warn, bad, calm); the word carries the meaning, never the colour."""

    def cell(view: Any, context: Any, row: Any, name: str) -> Any:
        value = getattr(row, name) or ""
        word = str(words.get(value, value))
        if context is None:
            return word
        return Markup('<span class="tag tag-{}">{}</span>').format(tones.get(value, "calm"), word) if word else EMPTY

    return cell


def named(model: type[Model]) -> Cell:
    """The name of the row a column points to; the Screen has looked all of them up by one query (`related`)."""

    def cell(view: Any, context: Any, row: Any, name: str) -> Any:
        key = getattr(row, name)
        found = getattr(g, "names", {}).get((model, key))
        if found is None and context is None:
            return "" if key is None else str(key)
        return EMPTY if key is None else found or short_id(view, key, name)

    return cell


def long_text(limit: int = 120) -> Cell:
    """A text cut to what a list has room for."""

    def cell(view: Any, context: Any, row: Any, name: str) -> Any:
        text = str(getattr(row, name) or "")
        if not text:
            return EMPTY
        return text if context is None or len(text) <= limit else text[: limit - 1].rstrip() + "…"

    return cell
