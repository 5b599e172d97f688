"""Everything that happens later: one heap and one task, so that a hundred thousand waiting messages cost no timers."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any

Entry = tuple[float, int, Callable[..., None], tuple[Any, ...]]
SLICE = 2000
"""Most things done before other tasks get their turn."""


class Hourglass:
    """Calls plain functions when their time comes, in order of time, then of asking."""

    def __init__(self) -> None:
        self.heap: list[Entry] = []
        self._count = itertools.count()
        self._sooner = asyncio.Event()

    def later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call after so many seconds; 0 means at the next turn, never inside this call."""
        due = time.monotonic() + seconds
        if not self.heap or due < self.heap[0][0]:
            self._sooner.set()
        heapq.heappush(self.heap, (due, next(self._count), call, args))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            now = time.monotonic()
            for _ in range(SLICE):
                if not self.heap or self.heap[0][0] > now:
                    break
                _, _, call, args = heapq.heappop(self.heap)
                call(*args)
            wait = self.heap[0][0] - time.monotonic() if self.heap else None
            if wait is not None and wait <= 0:
                await asyncio.sleep(0)
                continue
            self._sooner.clear()
            try:
                await asyncio.wait_for(self._sooner.wait(), wait)
            except TimeoutError:
                pass
