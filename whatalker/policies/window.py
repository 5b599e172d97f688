"""Window: free text only while the customer service window is open, else an approved template.

WhatsApp Business Messaging Policy and Cloud API error 131047; the window is half-open: at the very moment it ends it is closed.
"""

from __future__ import annotations

from datetime import timedelta

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

OPEN = Verdict("window", code="window_open")
TEMPLATE = Verdict("window", code="template_approved")
NO_WINDOW = Verdict("window", code="no_window")
WITHOUT_WINDOW = frozenset({"email", "sms", "voice", "push"})
"""Channels whose provider knows no such window."""


def is_open(facts: Facts) -> bool:
    return facts.window_expires_at is not None and facts.at < facts.window_expires_at


def window(facts: Facts) -> Verdict:
    if facts.is_template:
        if facts.template_status == "APPROVED":
            return TEMPLATE
        said = facts.template_status or "unknown"
        return Verdict(
            "window", "deny", "template_not_approved", f"The template is not approved ({said}).", evidence={"status": said}
        )
    if facts.channel in WITHOUT_WINDOW:
        return NO_WINDOW
    if is_open(facts):
        return OPEN
    if facts.window_expires_at is None:
        return Verdict("window", "deny", "window_never_opened", "The contact has not written, so only a template may go.")
    ago = _words(facts.at - facts.window_expires_at)
    evidence = {"closed_at": facts.window_expires_at.isoformat()}
    return Verdict("window", "deny", "window_closed", f"The 24-hour window closed {ago} ago.", evidence=evidence)


def _words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
