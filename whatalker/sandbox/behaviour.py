"""How contacts and webhooks usually behave when nothing is wrong: delays, reading, the window, batches."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from .faults import number_between

BULK = {
    "sent_ms": 0,
    "delivered_ms": 0,
    "read_ms": 0,
    "window": "off",
    "batch": 200,
    "batch_wait_ms": 20,
    "workers": 4,
}
"""The preset for load: statuses at once, in batches, over four connections."""


@dataclass(slots=True)
class Behaviour:
    """Times are milliseconds after the step before; shares are 0 to 1."""

    sent_ms: float = 30
    delivered_ms: float = 200
    read_ms: float = 400
    reads: float = 1.0
    "Share of messages that contacts nobody plays do read."
    offline: bool = False
    fail_share: float = 0.0
    fail_code: int = 131026
    window: str = "async"
    "What a closed window does: async (a failed status, as Meta), sync (an error answer), off."
    strangers: str = "trust"
    """A contact the sandbox never heard from (somebody else posted its webhook): trust takes its window as open and its
    message ids as real, refuse does as Meta would."""
    batch: int = 1
    "Most updates in one webhook; Meta goes up to 1,000."
    batch_wait_ms: float = 0
    workers: int = 1
    "Webhooks under way at once; 1 keeps their order."
    retry_ms: float = 200
    retry_cap_ms: float = 5000
    review_ms: float = 1000

    def change(self, changes: dict[str, Any]) -> None:
        """Take the given values, or raise ValueError with a sentence and change nothing."""
        for name, value in changes.items():
            _check(name, value)
        for name, value in changes.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """All values, for GET and for the state file."""
        return asdict(self)


_NAMES = {field.name for field in fields(Behaviour)}
_COUNTS = {"batch": 1000, "workers": 64, "fail_code": 999_999}


def _check(name: str, value: Any) -> None:
    if name not in _NAMES:
        raise ValueError(f"There is no behaviour {name}.")
    if name in ("reads", "fail_share"):
        right, wanted = number_between(value, 0, 1), "a share between 0 and 1"
    elif name == "window":
        right, wanted = value in ("async", "sync", "off"), "async, sync or off"
    elif name == "strangers":
        right, wanted = value in ("trust", "refuse"), "trust or refuse"
    elif name == "offline":
        right, wanted = isinstance(value, bool), "true or false"
    elif name in _COUNTS:
        right = isinstance(value, int) and number_between(value, 1, _COUNTS[name])
        wanted = f"a whole number from 1 to {_COUNTS[name]}"
    else:
        right, wanted = number_between(value, 0, 3_600_000), "milliseconds up to 3600000"
    if not right:
        raise ValueError(f"{name} must be {wanted}.")
