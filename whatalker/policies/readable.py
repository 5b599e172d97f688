"""Readable: what could not be checked is not sent, save a reply to somebody who is writing to us this very moment.

Marketing is refused, anything else waits a minute; a reply in an open window goes, for silence would harm the contact more.
"""

from __future__ import annotations

from datetime import timedelta

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict
from whatalker.policies.window import is_open

PASSES = Verdict("readable")
REPLY = Verdict("readable", code="in_window_reply")
ASK_AGAIN = timedelta(minutes=1)


def readable(facts: Facts) -> Verdict:
    if not facts.unreadable:
        return PASSES
    evidence = {"unreadable": sorted(facts.unreadable)}
    what = ", ".join(evidence["unreadable"])
    if facts.is_marketing:
        return Verdict("readable", "deny", "facts_unreadable", f"Could not be checked: {what}.", evidence=evidence)
    free_form = not facts.is_template and facts.purpose == "service_reply"
    if free_form and is_open(facts) and not facts.unreadable & {"window", "recipient"}:
        return REPLY
    return Verdict(
        "readable", "defer", "facts_unreadable", f"Could not be checked yet: {what}.", facts.at + ASK_AGAIN, evidence
    )
