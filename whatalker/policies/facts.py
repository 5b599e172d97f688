"""Everything the rules may know about one send; its one rule: nothing personal, for what a decision rests on is kept for good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Built from rows for a dispatch, from a CSV line for a what-if. A name, number or text of a person never enters."""

    at: datetime
    """The moment the decision speaks of, aware."""
    channel: str = "whatsapp"
    purpose: str = "service_reply"
    """marketing, transactional, service_reply, authentication …; a MARKETING template is marketing whatever it was called."""
    kind: str = "text"
    has_content: bool = True
    organization_standing: str = "active"
    organization_standing_until: datetime | None = None
    author_kind: str = "agent"
    """agent, automation, campaign, api or system."""
    author_active: bool = True
    """Whether the person who wrote it still belongs to the organization."""
    number_state: str = "active"
    recipient: str = "phone"
    """What is known to send to: phone, user_id (a business-scoped id without a number), malformed, or empty for nothing."""
    recipient_blocked: bool = False
    """Our people stopped writing to them by hand."""
    window_expires_at: datetime | None = None
    """Until when free text may be sent; None: the contact never wrote."""
    template_status: str = ""
    """Empty: free-form. Else the provider's word for the template's state."""
    template_category: str = ""
    suppressed_purposes: frozenset[str] = field(default_factory=frozenset)
    """What the contact said stop to: marketing, or all."""
    suppressed_since: datetime | None = None
    suppression_source: str = ""
    recent_to_pair: int = 0
    """Messages this number handed to this contact in the last PAIR_WINDOW (policies/pace.py)."""
    pair_free_at: datetime | None = None
    """When the pair may have its next message; None: now."""
    unreadable: frozenset[str] = field(default_factory=frozenset)
    """Groups of facts whose reading failed (READINGS): what stands in them then means nothing."""

    @property
    def is_template(self) -> bool:
        return self.kind == "template"

    @property
    def is_marketing(self) -> bool:
        return self.purpose == "marketing" or self.template_category == "MARKETING"

    def to_json(self) -> dict[str, Any]:
        """A JSON object of what is not as usual; from_json() gives back an equal Facts."""
        found: dict[str, Any] = {"at": self.at.isoformat()}
        for name, usual in _USUAL:
            value = getattr(self, name)
            if value != usual:
                if isinstance(value, datetime):
                    value = value.isoformat()
                elif isinstance(value, frozenset):
                    value = sorted(value)
                found[name] = value
        return found

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Facts:
        """Raises TypeError for a key no rule knows: a fact must never be ignored silently."""
        values = dict(stored)
        for name in _MOMENTS:
            if values.get(name) is not None:
                values[name] = datetime.fromisoformat(values[name])
        for name in _SETS:
            if name in values:
                values[name] = frozenset(values[name])
        return cls(**values)


READINGS = frozenset({"standing", "author", "recipient", "window", "template", "suppression", "pace"})
"""The groups of facts that are read together, and fail together."""

_USUAL = tuple(
    (one.name, one.default_factory() if one.default_factory is not MISSING else one.default)
    for one in fields(Facts)
    if one.name != "at"
)
_MOMENTS = ("at", "organization_standing_until", "window_expires_at", "suppressed_since", "pair_free_at")
_SETS = ("suppressed_purposes", "unreadable")


def canonical_json(value: Any) -> str:
    """One text for one value: keys sorted, sets sorted, moments in ISO 8601."""

    def plain(item: Any) -> Any:
        if isinstance(item, datetime):
            return item.isoformat()
        if isinstance(item, frozenset | set):
            return sorted(item)
        raise TypeError(f"{type(item).__name__} has no canonical form")

    return json.dumps(value, sort_keys=True, default=plain, separators=(",", ":"), ensure_ascii=False)
