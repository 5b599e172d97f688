"""May this be sent? Facts in, Decision out; its one rule: no I/O, so that the same question always has the same answer.

A rule kind is one file with one function, listed in RULES; it gets the Facts and answers a Verdict. Precedence: deny > defer >
allow. Who gathers the Facts is services/deciding.py; this floor imports no model, no session and no clock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

ENGINE_VERSION = "1"
"""Goes up whenever the same Facts could get another answer."""

Answer = Literal["allow", "deny", "defer"]
_PRECEDENCE = {"deny": 2, "defer": 1, "allow": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the rules may know about one send; built from rows for a dispatch, from a CSV line for a what-if."""

    at: datetime
    """The moment the decision speaks of, aware."""
    channel: str = "whatsapp"
    purpose: str = "service_reply"
    kind: str = "text"
    has_content: bool = True
    organization_standing: str = "active"
    organization_standing_until: datetime | None = None
    author_kind: str = "user"
    author_active: bool = True
    number_state: str = "active"
    number_state_reason: str = ""
    recipient: str = ""
    """The provider id we would send to; empty: there is none."""
    recipient_valid: bool = True
    recipient_blocked: bool = False
    window_expires_at: datetime | None = None
    template_status: str = ""
    """Empty: free-form. Else the provider's word for the template's state."""
    template_category: str = ""
    suppressed_purposes: frozenset[str] = field(default_factory=frozenset)
    suppressed_since: datetime | None = None
    suppression_source: str = ""
    last_to_pair_at: datetime | None = None
    """When this number last handed this contact a message."""
    recent_to_pair: int = 0
    """Messages handed to this contact by this number in the last 45 s."""
    campaign: bool = False
    """Reads of facts that failed; then only in-window replies may go."""
    unreadable: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer, with why."""

    rule: str
    answer: Answer = "allow"
    code: str = ""
    """snake_case, empty when it passed."""
    sentence: str = ""
    """For a person, in English; faces translate by code."""
    not_before: datetime | None = None
    """defer: the first moment to ask again."""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and every rule's verdict that led to it."""

    verdict: Answer
    code: str
    sentence: str
    not_before: datetime | None
    trace: tuple[Verdict, ...]
    engine_version: str = ENGINE_VERSION

    @property
    def trace_hash(self) -> str:
        """SHA-256 of the trace in canonical JSON: computed again from the stored Facts it must be the same."""
        return hashlib.sha256(canonical_json([dataclasses.asdict(v) for v in self.trace]).encode()).hexdigest()


Rule = Callable[[Facts], Verdict]


def canonical_json(value: Any) -> str:
    """One text for one value: keys sorted, sets sorted, moments in ISO 8601."""

    def plain(item: Any) -> Any:
        if isinstance(item, datetime):
            return item.isoformat()
        if isinstance(item, frozenset | set):
            return sorted(item)
        raise TypeError(f"{type(item).__name__} has no canonical form")

    return json.dumps(value, sort_keys=True, default=plain, separators=(",", ":"), ensure_ascii=False)
