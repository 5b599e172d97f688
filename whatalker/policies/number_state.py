"""Number state: only an active number sends; what an admin can mend is waited for, what is over is refused."""

from __future__ import annotations

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Answer, Verdict

PASSES = Verdict("number_state")

ANSWERS: dict[str, tuple[Answer, str, str]] = {
    "stopped": ("defer", "number_stopped", "The number is stopped."),
    "needs_reauth": ("defer", "number_needs_reauth", "The number's connection expired and must be renewed."),
    "read_only": ("deny", "plan_limit", "The plan no longer includes this number."),
    "disconnected": ("deny", "number_disconnected", "The number is disconnected."),
}


def number_state(facts: Facts) -> Verdict:
    """A message on a stopped number waits and is never failed: the customer did nothing wrong and nor did the contact."""
    if facts.number_state == "active":
        return PASSES
    answer, code, sentence = ANSWERS.get(facts.number_state, ANSWERS["disconnected"])
    return Verdict("number_state", answer, code, sentence, evidence={"state": facts.number_state})
