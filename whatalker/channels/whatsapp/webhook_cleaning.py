"""What a stranger sent, made safe to keep: no NUL, no lone surrogate, no NaN, no depth, no absurd moment; never raises."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any

__all__ = ["clean", "dicts", "fingerprint", "identity", "mapping", "moment", "prose", "word"]

LONGEST = 65_536
"""Characters of any one text; WhatsApp's own texts end at 4,096."""
LONGEST_WORD = 500
LONGEST_IDENTITY = 150
DEEPEST = 32
BIGGEST = 2**63

LONE = dict.fromkeys(range(55296, 57344), "�")

EARLIEST = 1_230_768_000
"""2009-01-01, before WhatsApp existed."""
AHEAD = 86_400
"""Seconds a clock may be ahead; later moments would hold a 24-hour window open."""


def prose(value: Any) -> str:
    """A text as written, or "" for anything else."""
    if not isinstance(value, str):
        return ""
    if len(value) > LONGEST:
        value = value[:LONGEST]
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").translate(LONE)


def word(value: Any) -> str | None:
    """A short text or a whole number as text; None for anything else and for nothing."""
    if type(value) is int and abs(value) < BIGGEST:
        return str(value)
    return prose(value)[:LONGEST_WORD].strip() or None if isinstance(value, str) else None


def identity(value: Any) -> str | None:
    """An id that may become a key: too long a one is replaced by its hash, never cut, so that two stay two."""
    found = prose(value) if isinstance(value, str) else word(value)
    if found and len(found) > LONGEST_IDENTITY:
        return "sha256:" + hashlib.sha256(found.encode()).hexdigest()
    return found or None


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[Any]:
    """The items of a list, whatever they are; nothing for what is no list."""
    return value if isinstance(value, list) else []


def moment(value: Any, now: float, ahead: float = AHEAD) -> datetime | None:
    """Unix seconds (or milliseconds) as text or number; None where it is no moment or lies before WhatsApp or far ahead."""
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 16):
            return None
        seconds: float = int(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        seconds = value
    else:
        return None
    if seconds > 100_000_000_000:
        seconds /= 1000
    if not EARLIEST <= seconds <= now + ahead:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def clean(value: Any, depth: int = 0) -> Any:
    """A copy that any JSON store keeps as it is."""
    if isinstance(value, str):
        return prose(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < BIGGEST else "…"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {prose(str(key)): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item, depth + 1) for item in value]
    return prose(repr(value))


def fingerprint(*parts: Any) -> str:
    """The same for the same cleaned parts, in any order of their keys."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
