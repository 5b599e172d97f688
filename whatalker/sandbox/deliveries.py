"""Signed webhooks to the product: every update is tried with growing pauses until the product answers 200."""

import asyncio
import hashlib
import heapq
import hmac
import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .behaviour import Behaviour
from .envelopes import Number, Value, payload, status_value
from .faults import Faults
from .hourglass import Hourglass
from .ledger import Ledger

FIRST_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=3)


@dataclass(slots=True)
class Target:
    """Where the product listens and what it shares with the provider."""

    url: str = ""
    app_secret: str = ""
    verify_token: str = ""


@dataclass(slots=True)
class Update:
    """One change to tell: a ready `value`, or one `status` of a number, which are put together in batches."""

    waba_id: str
    field: str
    value: Value | None = None
    status: Value | None = None
    number: Number | None = None
    mark: tuple[str, str, str] | None = None
    "(phone_number_id, wa_id, message id) of the bubble that gets its tick when this is delivered."
    born: float = 0.0

    def facts(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        facts: dict[str, Any] = {"field": self.field}
        if self.status:
            facts |= {"id": self.status["id"], "status": self.status["status"]}
            if "biz_opaque_callback_data" in self.status:
                facts["key"] = self.status["biz_opaque_callback_data"]
        elif self.mark:
            facts["id"] = self.mark[2]
        return facts


@dataclass(slots=True)
class Parcel:
    """One body on its way; the same bytes are sent again after a failure."""

    raw: bytes
    updates: list[Update] = field(default_factory=list)
    tries: int = 0
    signed: bool = True
    last: bool = False
    "Sent once, whatever the answer."


class Deliveries:
    """The queue of updates and the few connections that empty it."""

    def __init__(
        self, target: Target, behaviour: Behaviour, faults: Faults, ledger: Ledger, hourglass: Hourglass
    ) -> None:
        self.target = target
        self.behaviour = behaviour
        self.faults = faults
        self.ledger = ledger
        self.hourglass = hourglass
        self.arrived: Callable[[tuple[str, str, str]], None] = lambda mark: None
        self.ready: deque[Update] = deque()
        self.again: list[tuple[float, int, Parcel]] = []
        self.flying: set[asyncio.Task[None]] = set()
        self.carried: list[Parcel] = []
        self._count = itertools.count()
        self._failures = 0
        self._paused_until = 0.0
        self._wake = asyncio.Event()
        self._http: aiohttp.ClientSession | None = None

    def post(self, update: Update) -> None:
        """Queue one update; the faults may double it or hold it back."""
        twice, hold = self.faults.webhook_luck()
        if hold:
            self.hourglass.later(hold, self.queue, update)
        else:
            self.queue(update)
        if twice:
            self.hourglass.later(hold + 0.05, self.queue, update)

    def queue(self, update: Update) -> None:
        """Put one update at the end of the line."""
        update.born = time.monotonic()
        self.ready.append(update)
        self._wake.set()

    def post_raw(self, raw: bytes, *, signed: bool) -> None:
        """Send these bytes once, as they are."""
        heapq.heappush(self.again, (0.0, next(self._count), Parcel(raw, signed=signed, last=True)))
        self._wake.set()

    def nudge(self) -> None:
        """The target or the pace changed: try at once."""
        self._paused_until = 0.0
        self._failures = 0
        self.again = [(0.0, count, parcel) for _, count, parcel in self.again]
        heapq.heapify(self.again)
        self._wake.set()

    def waiting(self) -> int:
        """Updates not yet answered with 200."""
        return (
            len(self.ready)
            + sum(max(1, len(row[2].updates)) for row in self.again)
            + sum(max(1, len(parcel.updates)) for parcel in self.carried)
        )

    def clear(self) -> None:
        """Forget what waits; what is under way is not taken back."""
        self.ready.clear()
        self.again.clear()

    async def run(self) -> None:
        """Work until cancelled."""
        connector = aiohttp.TCPConnector(limit=0, force_close=False)
        async with aiohttp.ClientSession(connector=connector, trust_env=False, timeout=FIRST_TIMEOUT) as http:
            self._http = http
            try:
                while True:
                    pause = self._start_due()
                    self._wake.clear()
                    try:
                        await asyncio.wait_for(self._wake.wait(), pause)
                    except TimeoutError:
                        pass
            finally:
                for task in list(self.flying):
                    task.cancel()
                await asyncio.gather(*self.flying, return_exceptions=True)

    def _start_due(self) -> float | None:
        """Start what may start; the seconds until something else may, None for until told."""
        while self.target.url and len(self.flying) < self.behaviour.workers:
            now = time.monotonic()
            if now < self._paused_until:
                return self._paused_until - now
            if self.again and self.again[0][0] <= now:
                parcel = heapq.heappop(self.again)[2]
            elif self.ready:
                wait = self.ready[0].born + self.behaviour.batch_wait_ms / 1000 - now
                if wait > 0 and len(self.ready) < self.behaviour.batch:
                    return wait
                parcel = self._pack()
            else:
                return self.again[0][0] - now if self.again else None
            self.carried.append(parcel)
            task = asyncio.create_task(self._carry(parcel))
            self.flying.add(task)
            task.add_done_callback(self._landed)
        return None

    def _landed(self, task: asyncio.Task[None]) -> None:
        self.flying.discard(task)
        self._wake.set()

    def _pack(self) -> Parcel:
        """The next body: up to `batch` updates, statuses of one number side by side in one value."""
        most = min(self.behaviour.batch, len(self.ready))
        updates = [self.ready.popleft() for _ in range(most)]
        entries: dict[str, list[Value]] = {}
        groups: dict[str, list[Value]] = {}
        for update in updates:
            changes = entries.setdefault(update.waba_id, [])
            if update.status is not None and update.number is not None:
                group = groups.get(update.number.phone_number_id)
                if group is None:
                    group = groups[update.number.phone_number_id] = []
                    changes.append({"value": status_value(update.number, group), "field": "messages"})
                group.append(update.status)
            else:
                changes.append({"value": update.value, "field": update.field})
        return Parcel(json.dumps(payload(entries), separators=(",", ":")).encode(), updates)

    async def _carry(self, parcel: Parcel) -> None:
        parcel.tries += 1
        try:
            status = await self._send(parcel)
        except asyncio.CancelledError:
            self._return(parcel, 0.0)
            raise
        self.carried.remove(parcel)
        facts = [update.facts() for update in parcel.updates]
        self.ledger.add("webhook", status=status, **{"try": parcel.tries}, updates=facts)
        if status == 200:
            self._failures = 0
            for update in parcel.updates:
                if update.mark:
                    self.arrived(update.mark)
            return
        if parcel.last:
            return
        self._failures += status == 0
        power = min(self._failures if status == 0 else parcel.tries, 16)
        delay = min(self.behaviour.retry_ms * 2 ** (power - 1), self.behaviour.retry_cap_ms) / 1000
        if status == 0:  # nobody is there: the whole line waits and keeps its order
            self._paused_until = time.monotonic() + delay
        heapq.heappush(self.again, (time.monotonic() + delay, next(self._count), parcel))

    def _return(self, parcel: Parcel, due: float) -> None:
        self.carried.remove(parcel)
        if not parcel.last:
            heapq.heappush(self.again, (due, next(self._count), parcel))

    async def _send(self, parcel: Parcel) -> int:
        """HTTP status, or 0 when there was no answer."""
        headers = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}
        if parcel.signed:
            headers["X-Hub-Signature-256"] = signature(parcel.raw, self.target.app_secret)
        assert self._http is not None
        try:
            async with self._http.post(
                self.target.url, data=parcel.raw, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0

    async def handshake(self, target: Target, challenge: str) -> int:
        """Meta's verification call to a callback address: its HTTP status, 0 when the challenge did not come back."""
        query = {"hub.mode": "subscribe", "hub.verify_token": target.verify_token, "hub.challenge": challenge}
        assert self._http is not None
        try:
            async with self._http.get(target.url, params=query, allow_redirects=False) as answer:
                text = await answer.text()
                return answer.status if answer.status != 200 or text.strip() == challenge else 0
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0


def signature(raw: bytes, secret: str) -> str:
    """X-Hub-Signature-256 over the raw body."""
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
