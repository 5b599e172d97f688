"""Messages of one number and lane handed to the provider; its one rule: every step is committed before the next one begins.

One coroutine does all the database work and never two things at once; calls run beside it and touch no row. What is on the wire
when this process is killed is found by the sweeper: `claimed` goes back, `sending` becomes unknown.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from urllib.parse import urlsplit

import structlog
from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import Select, select
from sqlalchemy.exc import OperationalError

from whatalker import access
from whatalker import models as m
from whatalker.channels import Sender
from whatalker.db import now, session, transaction
from whatalker.errors import Invalid
from whatalker.http import Http
from whatalker.jobs.border import is_stopping
from whatalker.queues import Job, bell_of, ring, waiting_bells
from whatalker.services import claiming, connecting, deciding, gating, sending, settling
from whatalker.services.gating import COME_AGAIN, GROUP, Attempt
from whatalker.services.pacing import Pace
from whatalker.services.sending import Outcome
from whatalker.tenancy import as_organization

log = structlog.get_logger(__name__)

IN_FLIGHT = 2 * GROUP
"""Calls at once: one group may be on the wire while the next one passes the gate."""

RUN_SECONDS = {"interactive": 5.0, "bulk": 10.0}
"""How long one run takes new messages; then it rings again and stands behind the other numbers."""

CALL_SECONDS = {"interactive": 10.0, "bulk": 30.0}
"""A reply that hangs must not keep the replies of other numbers waiting."""

LOOK_AGAIN = 0.25
"""Seconds between two looks for due messages while calls are on the wire."""

SETTLE_AFTER = 0.03
"""Seconds for which outcomes are collected before they are written together."""


def dispatch(organization_id: str, channel_account_id: str, lane: str) -> None:
    """Send what is due; may run on many workers at once, and at any time twice."""
    organization, account = uuid.UUID(organization_id), uuid.UUID(channel_account_id)
    with as_organization(organization):
        run = Run.begin(organization, account, lane)
        if run is not None:
            asyncio.run(run.go())
    if run is not None and run.left_over:
        ring(lane, Job.DISPATCH, organization_id, channel_account_id, lane)


NO_SECRETS = "The access token of this number is missing or cannot be read. Enter it again."


class Run:
    """One run over one lane of one number."""

    def __init__(self, account: m.ChannelAccount, sender: Sender | None, lane: str) -> None:
        self.account, self.sender, self.lane = account, sender, lane
        self.pace = Pace.of(account.id, account.throughput)
        self.until = time.monotonic() + RUN_SECONDS[lane]
        self.seconds = min(CALL_SECONDS[lane], sending.call_seconds())
        self.calls: set[asyncio.Task[Outcome]] = set()
        self.outcomes: list[Outcome] = []
        self.settled_at = self.looked_at = 0.0
        self.left_over = False
        self.bell = bell_of(Job.DISPATCH, str(account.organization_id), str(account.id), lane)

    @classmethod
    def begin(cls, organization: uuid.UUID, id: uuid.UUID, lane: str) -> Run | None:
        with transaction():
            account = session.scalar(_account(organization, id))
            if account is None:
                return None
            try:
                return cls(account, connecting.sender_of(account), lane)
            except Invalid as error:
                # Without secrets nothing is sent, and its messages are told why. A number that is not active lacks them rightly.
                if account.state == "active":
                    actor = access.system("dispatch", organization)
                    connecting.stop_number(account, error.code, NO_SECRETS, actor, whole_account=False)
                return cls(account, None, lane)

    async def go(self) -> None:
        base = urlsplit(current_app.config["WHATSAPP_API_BASE"])
        host = f"{base.hostname}:{base.port or (443 if base.scheme == 'https' else 80)}"
        async with Http(allowed_inner=(host,), limit=IN_FLIGHT) as http:
            while await self._turn(http):
                pass

    async def _turn(self, http: Http) -> bool:
        """Take, call, settle, once each; False when nothing is left to do."""
        taking = not is_stopping() and time.monotonic() < self.until
        room = 0
        if taking and self._is_time_to_look():
            room = self.pace.room(self.lane, IN_FLIGHT - len(self.calls))
            found = self._take(room, http) if room else None
            if not self.calls and not self.outcomes and found == 0:
                return False
        if self.calls:
            done, self.calls = await asyncio.wait(self.calls, timeout=SETTLE_AFTER, return_when=asyncio.FIRST_COMPLETED)
            self.outcomes += [call.result() for call in done]
        self._settle_in_time()
        if self.calls or self.outcomes:
            return True
        if not taking or (room == 0 and self._others_wait()):
            self.left_over = not is_stopping()
            return False
        if room == 0:
            await asyncio.sleep(0.05)
        return True

    def _is_time_to_look(self) -> bool:
        """Whenever a good part of the wire is free, and now and then although nothing came back."""
        free = IN_FLIGHT - len(self.calls)
        if not free:
            return False
        moment = time.monotonic()
        if not self.calls or (free >= GROUP and self.found_enough) or moment - self.looked_at > LOOK_AGAIN:
            self.looked_at = moment
            return True
        return False

    found_enough = True
    """Whether the last look found as much as it asked for, so that more may be waiting."""

    def _take(self, room: int, http: Http) -> int:
        """Claim, decide, pass the gate and begin the calls; answers how many messages were claimed."""
        with transaction():
            sends = session.scalar(_state(self.account)) == "active" and self.sender is not None
            claimed = claiming.claim(self.account.id, self.account.organization_id, self.lane, room, now(), sends=sends)
        self.found_enough = len(claimed) == room
        if not claimed:
            return 0
        with transaction():
            rulings = deciding.decide_and_store(claimed, now())
            gating.apply_refusals([ruling for ruling in rulings if not ruling.decision.allowed])
            allowed = [ruling for ruling in rulings if ruling.decision.allowed]
            granted = self.pace.take(self.lane, len(allowed)) if self.sender else 0
            claiming.give_back([ruling.message for ruling in allowed[granted:]], now() + COME_AGAIN)
        for start in range(0, granted, GROUP):
            with transaction():
                attempts = gating.open_gate(allowed[start : start + GROUP], now())
            self._call(attempts, http)
        return len(claimed)

    def _call(self, attempts: list[Attempt], http: Http) -> None:
        assert self.sender is not None
        for attempt in attempts:
            call = sending.send(self.account.channel, self.sender, attempt, http, self.seconds)
            self.calls.add(asyncio.create_task(call))

    def _settle_in_time(self) -> None:
        moment = time.monotonic()
        if not self.outcomes:
            self.settled_at = moment
        elif not self.calls or len(self.outcomes) >= GROUP or moment - self.settled_at > SETTLE_AFTER:
            outcomes, self.outcomes = self.outcomes, []
            self._settle(outcomes)
            self.settled_at = moment

    def _settle(self, outcomes: list[Outcome]) -> None:
        """Write them down, again if the database was in the way; if it stays away they are found unknown and settled by webhooks."""
        for pause in (0.1, 0.5, 1.0, 2.0, None):
            try:
                with transaction():
                    settled = settling.settle(self.account, outcomes)
                    if settled.reactions:
                        account = session.scalar(_account(self.account.organization_id, self.account.id))
                        actor = access.system("dispatch", self.account.organization_id)
                        if account is not None:
                            settling.react(actor, account, settled)
            except OperationalError:
                if pause is None:
                    raise
                log.warning("settling_again", messages=len(outcomes))
                time.sleep(pause)
                continue
            if settled.slow_down:
                self.pace.slow_down()
            self.pace.note_answers(len(outcomes) > settled.unanswered, settled.unanswered)
            return

    def _others_wait(self) -> bool:
        """Whether another number's bell waits behind this run; with the queue server away there is no telling."""
        try:
            return bool(waiting_bells(self.lane) - {self.bell})
        except RedisError:
            return True


def _account(organization: uuid.UUID, id: uuid.UUID) -> Select[m.ChannelAccount]:
    a = m.ChannelAccount
    query = select(a).where(a.organization_id == organization, a.id == id)
    return query.execution_options(populate_existing=True)


def _state(account: m.ChannelAccount) -> Select[str]:
    a = m.ChannelAccount
    return select(a.state).where(a.organization_id == account.organization_id, a.id == account.id)
