"""Standing: only an active organization sends, and only in the name of a person who still belongs to it."""

from __future__ import annotations

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

PASSES = Verdict("standing")

SENTENCES = {
    "suspended": ("org_suspended", "The organization is suspended{until}."),
    "cancelled": ("org_cancelled", "The organization's account is cancelled."),
    "pending": ("org_pending", "The organization is not approved yet."),
}


def standing(facts: Facts) -> Verdict:
    """A suspension binds until somebody lifts it, also past its announced end: the row says it, not the clock."""
    if facts.organization_standing != "active":
        code, sentence = SENTENCES.get(facts.organization_standing, SENTENCES["suspended"])
        until = facts.organization_standing_until
        said = sentence.format(until=f" until {until:%d %b %Y %H:%M} UTC" if until else "")
        return Verdict("standing", "deny", code, said, evidence={"standing": facts.organization_standing})
    if facts.author_kind == "agent" and not facts.author_active:
        return Verdict("standing", "deny", "user_inactive", "Its author no longer belongs to the organization.")
    return PASSES
