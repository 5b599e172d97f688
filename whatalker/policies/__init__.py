"""May this be sent? Facts in, Decision out; its one rule: no I/O, so that the same question always has the same answer.

A rule kind is one file with one function, listed in RULES; it gets the Facts and answers a Verdict. Precedence: deny > defer >
allow. Who gathers the Facts is services/deciding.py; this floor imports no model, no session and no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from whatalker.policies.content_present import content_present
from whatalker.policies.destination import destination
from whatalker.policies.facts import READINGS, Facts, canonical_json
from whatalker.policies.number_state import number_state
from whatalker.policies.pace import pace
from whatalker.policies.readable import readable
from whatalker.policies.standing import standing
from whatalker.policies.suppression import suppression
from whatalker.policies.verdicts import ALLOWED, CODES, ENGINE_VERSION, Decision, Verdict, agent_text
from whatalker.policies.window import window

__all__ = [
    "ALLOWED", "CODES", "ENGINE_VERSION", "READINGS", "RULES", "Decision", "Facts", "Rule", "Verdict", "agent_text",
    "canonical_json", "decide",
]  # fmt: skip

Rule = Callable[[Facts], Verdict]

RULES: tuple[tuple[Rule, frozenset[str]], ...] = (
    (standing, frozenset({"standing", "author"})),
    (number_state, frozenset({"standing"})),
    (destination, frozenset({"recipient"})),
    (content_present, frozenset()),
    (suppression, frozenset({"suppression"})),
    (window, frozenset({"window", "template"})),
    (pace, frozenset({"pace"})),
    (readable, frozenset()),
)
"""Every rule and the readings it rests on, in the order in which the first of equal answers decides. A rule whose readings
failed is not asked; `readable` answers for it."""


def decide(facts: Facts) -> Decision:
    """All rules are asked, so that the trace is whole; any deny wins over any defer, any defer over any allow."""
    trace = tuple(
        _UNREAD[rule] if facts.unreadable and facts.unreadable & readings else rule(facts) for rule, readings in RULES
    )
    refused = held = None
    not_before: datetime | None = None
    for verdict in trace:
        if verdict.answer == "deny":
            refused = refused or verdict
        elif verdict.answer == "defer":
            held = held or verdict
            if verdict.not_before is not None and (not_before is None or verdict.not_before > not_before):
                not_before = verdict.not_before
    if refused is not None:
        return Decision("deny", refused.code, refused.sentence, None, trace)
    if held is not None:
        return Decision("defer", held.code, held.sentence, not_before, trace)
    return Decision("allow", ALLOWED, "", None, trace)


_UNREAD = {rule: Verdict(rule.__name__, code="not_asked", sentence="Its facts could not be read.") for rule, _ in RULES}
