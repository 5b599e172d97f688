"""What a rule and what all rules together answer, and the closed list of verdict codes with the sentence an agent reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal

from flask_babel import lazy_gettext

from whatalker.policies.facts import canonical_json

ENGINE_VERSION = "1"
"""Goes up whenever the same Facts could get another answer."""

Answer = Literal["allow", "deny", "defer"]

ALLOWED = "allowed"
"""The code of a decision in which every rule passed."""

CODES: dict[str, Any] = {
    "org_suspended": lazy_gettext("Your organization may not send for now. An owner can see why and appeal."),
    "org_cancelled": lazy_gettext("This account is cancelled: nothing can be sent. You can still read and export."),
    "org_pending": lazy_gettext("Your organization is waiting for approval. You can send once it is approved."),
    "user_inactive": lazy_gettext("Whoever wrote this no longer belongs to the organization. A colleague can send it."),
    "number_stopped": lazy_gettext("This number may not send for now. An admin can see why; the message waits."),
    "number_needs_reauth": lazy_gettext("The connection of this number expired. An admin must reconnect it; the message waits."),
    "number_disconnected": lazy_gettext("This number is disconnected. Ask an admin to connect it, or use another number."),
    "plan_limit": lazy_gettext("Your plan does not include this number any more. An owner can change the plan."),
    "destination_missing": lazy_gettext("There is no number or id to send to. Add one to the contact."),
    "destination_invalid": lazy_gettext("This is not a number that can be written to. Correct it on the contact."),
    "template_needs_phone": lazy_gettext("Login codes need a phone number, and this contact has none on record."),
    "contact_blocked": lazy_gettext("This contact is blocked. Whoever may edit contacts can unblock them."),
    "content_empty": lazy_gettext("The message is empty. Write something and send it again."),
    "template_not_approved": lazy_gettext("WhatsApp has not approved this template, or paused it. Choose another one."),
    "window_closed": lazy_gettext("The 24-hour window is closed. Send a template."),
    "window_never_opened": lazy_gettext("This person has not written yet. Send a template."),
    "suppressed": lazy_gettext("This person asked not to receive these messages. Only they can allow them again."),
    "pair_rate": lazy_gettext("Too many messages to this person at once. This one waits its turn."),
    "facts_unreadable": lazy_gettext("We could not check whether this may be sent. It waits, or, if marketing, was stopped."),
}  # fmt: skip
"""Every code a rule can answer, and what the agent reads: what is the matter, and what to do next."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's answer, with why."""

    rule: str
    answer: Answer = "allow"
    code: str = ""
    """snake_case, one of CODES; empty, or a word for the way it passed, when it did."""
    sentence: str = ""
    """For a person, in English; faces translate by code."""
    not_before: datetime | None = None
    """defer: the first moment to ask again; None: when somebody has mended what is named."""
    evidence: dict[str, Any] = field(default_factory=dict, hash=False)

    def canonical(self) -> str:
        if self.answer == "allow" and not self.evidence:
            return _canonical_pass(self.rule, self.code, self.sentence)
        return _canonical(self)


def _canonical(verdict: Verdict) -> str:
    return canonical_json({name: getattr(verdict, name) for name in Verdict.__slots__})


@cache
def _canonical_pass(rule: str, code: str, sentence: str) -> str:
    return _canonical(Verdict(rule, code=code, sentence=sentence))


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
    def allowed(self) -> bool:
        return self.verdict == "allow"

    @property
    def trace_hash(self) -> str:
        """SHA-256 of the trace in canonical JSON: computed again from the stored Facts it must be the same."""
        return hashlib.sha256(f"[{','.join(verdict.canonical() for verdict in self.trace)}]".encode()).hexdigest()


def agent_text(code: str) -> str:
    """What an agent reads about this code, in the language of the request; the code itself where it is not of this engine."""
    return str(CODES.get(code, code))
