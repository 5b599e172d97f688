"""Misfortune: which call goes wrong and how, drawn from one seeded dice so that a run can be repeated."""

import math
import random
import time
from collections import OrderedDict, deque
from typing import Any

BEFORE = ("rate_429", "error_before", "hang", "reset_before")
AFTER = ("error_after", "hang_after", "reset_after", "malformed")
SHARES = BEFORE + AFTER
SCOPES = {"messages", "read", "media", "templates", "numbers"}
PAIRS_KEPT = 100_000

Setting = dict[str, Any]


def nothing() -> Setting:
    """All is well."""
    return {
        "seed": None,
        "scope": ["messages"],
        "latency_ms": 0,
        "hang_ms": 30_000,
        "fail": {},
        "pair_limit": None,
        "next": [],
        "webhook_duplicate": 0.0,
        "webhook_shuffle": 0.0,
        "webhook_hold_ms": 500,
    } | dict.fromkeys(SHARES, 0.0)


class Faults:
    """The present setting and the dice."""

    def __init__(self, latency_ms: float = 0) -> None:
        self.usual_latency = latency_ms
        self.clear()

    def clear(self) -> None:
        """Back to no faults and the latency the sandbox was started with."""
        self.setting = nothing() | {"latency_ms": self.usual_latency}
        self.dice = random.Random()
        self._pairs: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def change(self, changes: Setting) -> None:
        """Merge the given keys, or raise ValueError with a sentence and change nothing."""
        for name, value in changes.items():
            _check(name, value)
        merged = self.setting | changes
        if sum(merged[name] for name in SHARES) > 1:
            raise ValueError("The shares add up to more than 1; at most one fault happens to a call.")
        merged["next"] = [dict(one) for one in merged["next"]]
        self.setting = merged
        if "seed" in changes:
            self.dice = random.Random(changes["seed"])

    def latency(self) -> float:
        """Seconds this call takes at least."""
        value = self.setting["latency_ms"]
        if isinstance(value, list):
            return self.dice.uniform(value[0], value[1]) / 1000
        return float(value) / 1000

    def draw(self, scope: str) -> Setting | None:
        """What goes wrong with a call of this scope: {"do": share} or {"do": "code", "code": n}; None is nothing."""
        setting = self.setting
        if scope not in setting["scope"]:
            return None
        planned = setting["next"]
        if planned:
            first = planned[0]
            first["times"] = first.get("times", 1) - 1
            if first["times"] <= 0:
                planned.pop(0)
            return None if first["do"] == "ok" else first
        dice = None
        for name in SHARES:
            if share := setting[name]:
                dice = self.dice.random() if dice is None else dice
                if dice < share:
                    return {"do": name}
                dice -= share
        return None

    def recipient(self, *names: str) -> Setting | None:
        """What is set for this recipient, under its number as given or its wa_id."""
        fail = self.setting["fail"]
        return next((fail[name] for name in names if name in fail), None) if fail else None

    def too_soon(self, number: str, wa_id: str) -> bool:
        """Whether this pair is over its limit; counts the message when it is not."""
        limit = self.setting["pair_limit"]
        if not limit:
            return False
        now = time.monotonic()
        times = self._pairs.setdefault((number, wa_id), deque())
        self._pairs.move_to_end((number, wa_id))
        if len(self._pairs) > PAIRS_KEPT:
            self._pairs.popitem(last=False)
        while times and now - times[0] >= limit["seconds"]:
            times.popleft()
        if len(times) >= limit["count"]:
            return True
        times.append(now)
        return False

    def webhook_luck(self) -> tuple[bool, float]:
        """Whether an outgoing update is doubled, and how many seconds it is held back to lose its place."""
        setting = self.setting
        twice = bool(setting["webhook_duplicate"]) and self.dice.random() < setting["webhook_duplicate"]
        late = bool(setting["webhook_shuffle"]) and self.dice.random() < setting["webhook_shuffle"]
        return twice, self.dice.uniform(0.01, setting["webhook_hold_ms"] / 1000) if late else 0.0


def number_between(value: Any, low: float, high: float) -> bool:
    """Whether a JSON value is a finite number in the range (true and false are no numbers)."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
    )


def _check(name: str, value: Any) -> None:
    if name in SHARES or name in ("webhook_duplicate", "webhook_shuffle"):
        right, wanted = number_between(value, 0, 1), "a share between 0 and 1"
    elif name in ("hang_ms", "webhook_hold_ms"):
        right, wanted = number_between(value, 0, 600_000), "milliseconds up to 600000"
    elif name == "latency_ms":
        pair = isinstance(value, list) and len(value) == 2 and all(number_between(one, 0, 600_000) for one in value)
        right, wanted = pair or number_between(value, 0, 600_000), "milliseconds or [min, max]"
    elif name == "seed":
        right, wanted = value is None or isinstance(value, int | str), "a number or a text"
    elif name == "scope":
        right, wanted = isinstance(value, list) and set(value) <= SCOPES, f"a list of {sorted(SCOPES)}"
    elif name == "fail":
        right = isinstance(value, dict) and all(
            isinstance(one, dict) and isinstance(one.get("code"), int) for one in value.values()
        )
        wanted = 'a map of number to {"code": 131026, "how": "status" or "answer"}'
    elif name == "pair_limit":
        pair = isinstance(value, dict) and set(value) == {"count", "seconds"}
        right = value is None or (pair and all(number_between(one, 0, 100_000) for one in value.values()))
        wanted = '{"count": 1, "seconds": 6} or null'
    elif name == "next":
        right = isinstance(value, list) and all(isinstance(one, dict) and _doable(one) for one in value)
        wanted = f'a list of {{"do": one of {[*SHARES, "code", "ok"]}, "times": 1}}'
    else:
        raise ValueError(f"There is no fault {name}.")
    if not right:
        raise ValueError(f"{name} must be {wanted}.")


def _doable(one: Setting) -> bool:
    if one.get("do") == "code":
        return isinstance(one.get("code"), int)
    return one.get("do") in (*SHARES, "ok")
