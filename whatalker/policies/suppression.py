"""Suppression: no marketing to whoever said stop to it, and nothing at all to whoever said stop to everything.

Meta's stop (user_preferences, error 131050) blocks marketing templates only; replies in an open window stay possible.
"""

from __future__ import annotations

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

PASSES = Verdict("suppression")
EVERYTHING = "all"


def suppression(facts: Facts) -> Verdict:
    said = facts.suppressed_purposes
    if not said or not (EVERYTHING in said or facts.purpose in said or (facts.is_marketing and "marketing" in said)):
        return PASSES
    since = facts.suppressed_since
    what = "all messages" if EVERYTHING in said else "marketing" if facts.is_marketing else facts.purpose
    return Verdict(
        "suppression",
        "deny",
        "suppressed",
        f"The contact opted out of {what}{f' on {since:%d %b %Y}' if since else ''}.",
        evidence={"source": facts.suppression_source, "since": since.isoformat() if since else None, "purposes": sorted(said)},
    )
