"""Destination: a well-formed place to send to that our own people have not blocked; emergency numbers are never one."""

from __future__ import annotations

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

PASSES = Verdict("destination")
SHORTEST, LONGEST = 7, 15
"""Digits of an international number (ITU-T E.164 allows 15); every emergency and short number is shorter than 7."""


def form_of(number: str | None, user_id: str | None) -> str:
    """Facts.recipient for what is known of the contact; a malformed number does not fall back to the other id."""
    if number:
        digits = number.removeprefix("+")
        ok = digits.isascii() and digits.isdigit() and SHORTEST <= len(digits) <= LONGEST and digits[0] != "0"
        return "phone" if ok else "malformed"
    return "user_id" if user_id else ""


def destination(facts: Facts) -> Verdict:
    if facts.recipient == "":
        return Verdict("destination", "deny", "destination_missing", "There is no number or id to send to.")
    if facts.recipient not in ("phone", "user_id"):
        return Verdict("destination", "deny", "destination_invalid", "This is not a number that can be written to.")
    if facts.recipient_blocked:
        return Verdict("destination", "deny", "contact_blocked", "The contact is blocked.")
    if facts.recipient == "user_id" and facts.template_category == "AUTHENTICATION":
        # Meta answers 131062 to it.
        return Verdict("destination", "deny", "template_needs_phone", "Login codes need a phone number.")
    return PASSES
