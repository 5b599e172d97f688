"""How fast a number may send, shared by every worker through Redis; its one rule: bulk leaves a fifth of the rate to replies.

When Redis is away replies go on at a rate that is safe without knowing of others, and bulk waits.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from flask import current_app
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from whatalker.queues import redis

log = structlog.get_logger(__name__)

ALL_LANES, BULK_LANE = 0.95, 0.8
"""Shares of the provider's rate. Not all of it: a window of ours and one of theirs begin at different moments."""

SAFE_LOCAL_RATE = 10
"""Replies a second a process sends while Redis is away."""

RECOVERY_SECONDS = 30.0
"""In this time without another refusal a lowered rate climbs back, evenly, to the whole."""

ONE_LESSON = 1.0
"""Seconds in which any number of refusals, all of calls begun at the same rate, halve it once."""

SLOWEST = 1 / 64

TROUBLE = 10
"""Calls in a row that ended without the provider's answer; after that one call at a time asks whether it is back."""

PROBE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate of one number: `per_second` is what its provider takes."""

    account: uuid.UUID
    per_second: int
    limiters: tuple[MovingWindowRateLimiter, MovingWindowRateLimiter]

    @classmethod
    def of(cls, account: uuid.UUID, per_second: int) -> Pace:
        return cls(account, max(per_second, 1), _limiters())

    def room(self, lane: str, wanted: int) -> int:
        """How many could be sent now, at most `wanted`; nothing is counted yet."""
        return self._ask(lane, wanted, _left)

    def take(self, lane: str, wanted: int) -> int:
        """How many may be sent now, at most `wanted`; they count as sent."""
        return self._ask(lane, wanted, _take)

    def _ask(self, lane: str, wanted: int, ask: Callable[[MovingWindowRateLimiter, RateLimitItemPerSecond, str, int], int]) -> int:
        if wanted <= 0:
            return 0
        shared, local = self.limiters
        key = str(self.account)
        try:
            if self._is_in_trouble():
                return self._probe(ask is _take)
            rate = self.per_second * self._slowed()
            everything = RateLimitItemPerSecond(max(int(rate * ALL_LANES), 1))
            if lane == "bulk":
                wanted = _left(shared, everything, key, wanted)
                wanted = ask(shared, RateLimitItemPerSecond(max(int(rate * BULK_LANE), 1)), f"{key}:bulk", wanted)
            return ask(shared, everything, key, wanted)
        except RedisError as error:
            log.warning("pace_without_redis", lane=lane, error=type(error).__name__)
            if lane == "bulk":
                return 0
            return ask(local, RateLimitItemPerSecond(min(SAFE_LOCAL_RATE, self.per_second)), key, wanted)

    def _probe(self, take: bool) -> int:
        key = f"pace:probe:{self.account}"
        if take:
            return 1 if redis().set(key, 1, nx=True, ex=PROBE_SECONDS) else 0
        return 0 if redis().exists(key) else 1

    def slow_down(self) -> None:
        """The provider said that it was too much: half the rate, recovering slowly."""
        try:
            if redis().set(f"pace:lesson:{self.account}", 1, nx=True, px=int(ONE_LESSON * 1000)):
                slowed = max(self._slowed() / 2, SLOWEST)
                redis().set(f"pace:slow:{self.account}", f"{slowed}:{time.time()}", ex=int(RECOVERY_SECONDS))
        except RedisError as error:
            log.warning("pace_without_redis", error=type(error).__name__)

    def note_answers(self, answered: bool, unanswered: int) -> None:
        """Whether the provider answers at all: any answer ends the trouble, silence in a row begins it."""
        key = f"pace:trouble:{self.account}"
        try:
            if answered:
                redis().delete(key)
            elif unanswered:
                redis().incrby(key, unanswered)
                redis().expire(key, 300)
        except RedisError as error:
            log.warning("pace_without_redis", error=type(error).__name__)

    def _is_in_trouble(self) -> bool:
        return int(redis().get(f"pace:trouble:{self.account}") or 0) >= TROUBLE  # type: ignore[arg-type]

    def _slowed(self) -> float:
        """The share of the rate that is used now."""
        stored = redis().get(f"pace:slow:{self.account}")
        if not stored:
            return 1.0
        factor, _, since = stored.decode().partition(":")  # type: ignore[union-attr]
        recovered = min(max((time.time() - float(since)) / RECOVERY_SECONDS, 0.0), 1.0)
        return float(factor) + (1 - float(factor)) * recovered


def _left(limiter: MovingWindowRateLimiter, item: RateLimitItemPerSecond, key: str, wanted: int) -> int:
    return max(min(int(limiter.get_window_stats(item, key).remaining), wanted), 0)


def _take(limiter: MovingWindowRateLimiter, item: RateLimitItemPerSecond, key: str, wanted: int) -> int:
    granted = _left(limiter, item, key, wanted)
    # Somebody else may have been faster since we looked: then nothing now, and a moment later again.
    return granted if granted > 0 and limiter.hit(item, key, cost=granted) else 0


def _limiters() -> tuple[MovingWindowRateLimiter, MovingWindowRateLimiter]:
    """Of this process: one over Redis that all share, one of its own."""
    made = current_app.extensions.get("pacing")
    if made is None:
        shared = RedisStorage(
            current_app.config["REDIS_URL"], connection_pool=redis().connection_pool, key_prefix="pace"
        )
        made = current_app.extensions["pacing"] = (
            MovingWindowRateLimiter(shared), MovingWindowRateLimiter(MemoryStorage()),
        )  # fmt: skip
    return made
