"""Content present: an empty message is never sent."""

from __future__ import annotations

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

PASSES = Verdict("content_present")


def content_present(facts: Facts) -> Verdict:
    if not facts.has_content:
        return Verdict("content_present", "deny", "content_empty", "The message is empty.")
    return PASSES
