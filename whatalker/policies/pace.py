"""Pace: not more to one contact from one number than the provider takes; a message over it waits and is not refused.

Meta: one message in six seconds to one user; up to 45 may go in a burst, which borrows from the time after it (error 131056).
Counting the last 45 times 6 seconds keeps both: never more than 45 in any such span, and one in six seconds on average.
"""

from __future__ import annotations

from datetime import timedelta

from whatalker.policies.facts import Facts
from whatalker.policies.verdicts import Verdict

PASSES = Verdict("pace")
PAIR_BURST = 45
PAIR_WINDOW = timedelta(seconds=6 * PAIR_BURST)


def pace(facts: Facts) -> Verdict:
    if facts.recent_to_pair < PAIR_BURST or facts.pair_free_at is None or facts.pair_free_at <= facts.at:
        return PASSES
    return Verdict(
        "pace",
        "defer",
        "pair_rate",
        f"{facts.recent_to_pair} messages went to this contact in the last minutes; the next may go later.",
        not_before=facts.pair_free_at,
        evidence={"recent": facts.recent_to_pair},
    )
