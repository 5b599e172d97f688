"""Small checks on what goes into a request body; each refuses with Invalid and a sentence for the agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from whatalker.errors import Invalid

__all__ = ["number", "required", "text", "within"]

LONE = dict.fromkeys(range(55296, 57344), "�")


def text(value: Any) -> str:
    """As text that can be encoded: no NUL, no half of a surrogate pair."""
    said = value if isinstance(value, str) else str(value)
    if said.isascii() and "\0" not in said:
        return said
    return said.replace("\0", "").translate(LONE)


def required(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    said = text(value) if value is not None else ""
    if not said.strip():
        raise Invalid(f"Something is missing: {name.replace('_', ' ')}.", code="not_sendable", field=name)
    return said


def within(said: str, longest: int, what: str) -> str:
    if len(said) > longest:
        raise Invalid(f"{what} is {len(said)} characters long; WhatsApp takes {longest}.", code="not_sendable")
    return said


def number(content: Mapping[str, Any], name: str, limit: float) -> float:
    try:
        value = float(content[name])
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"The {name} is missing or is no number.", code="not_sendable", field=name) from None
    if not math.isfinite(value) or abs(value) > limit:
        raise Invalid(f"The {name} must lie between -{limit:g} and {limit:g}.", code="not_sendable", field=name)
    return value
