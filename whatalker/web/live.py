"""Live pages: one Redis subscription a process, handed to the open streams; its one rule: only ids travel, and each is asked for again.

A stream gets an event when the visibility function shows its person that conversation at this moment. Who may not see it any
more, but was shown it before, gets "gone". A page that missed something replays from its cursor, or is told to refresh.
"""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Blueprint, Flask, Response, current_app, jsonify, request, stream_with_context
from redis.exceptions import RedisError

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission, visible
from whatalker.db import session
from whatalker.events import LIVE, Event, stream_key
from whatalker.queues import redis
from whatalker.tenancy import as_organization

log = structlog.get_logger(__name__)
pages = Blueprint("live", __name__)

HEARTBEAT = 5
"""Seconds after which a silent stream says that it is still there: writing is how we notice that the page has gone."""

RECHECK = 60
"""Seconds after which a stream asks again whether its browser is still signed in."""

LONGEST = 3600
"""Seconds after which a stream ends; the page opens the next one and misses nothing."""

WAITING = 200
"""Events one slow page may have waiting; past it, it is told to refresh."""

REPLAYED = 200
"""Events one page catches up on; further back it refreshes."""

KNOWN = 300
"""Conversations a stream remembers having shown, so that it can say when they are gone."""

AT_ONCE = "STREAMS_PER_PROCESS"
"""The setting for how many streams one process carries (24 unless set: a thread each); one more gets 503 and polls."""

FIELDS = ("event", "conversation_id", "message_id", "note_id", "user_id", "channel_account_id", "contact_id")


@dataclass(eq=False)
class Listener:
    """One open stream's letter box."""

    box: queue.Queue[dict[str, Any]] = field(default_factory=lambda: queue.Queue(WAITING))
    missed: bool = False


class Hub:
    """Hears everything once and puts it into the boxes of the organization it is about."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.lock = threading.Lock()
        self.listeners: dict[str, set[Listener]] = defaultdict(set)
        self.hearing: threading.Thread | None = None

    def count(self) -> int:
        return sum(len(each) for each in self.listeners.values())

    @contextmanager
    def listening(self, organization_id: str, listener: Listener) -> Iterator[None]:
        with self.lock:
            self.listeners[organization_id].add(listener)
            if self.hearing is None or not self.hearing.is_alive():
                # Begun by the first stream and not at start: a thread does not survive the fork of a web process.
                self.hearing = threading.Thread(target=self._hear, name="live", daemon=True)
                self.hearing.start()
        try:
            yield
        finally:
            with self.lock:
                self.listeners[organization_id].discard(listener)

    def _hear(self) -> None:
        while True:
            try:
                with self.app.app_context():
                    subscription = redis().pubsub(ignore_subscribe_messages=True)
                subscription.subscribe(LIVE)
                self._everyone_missed()  # whatever was told before this subscription stood
                for heard in subscription.listen():
                    self._hand_out(json.loads(heard["data"]))
            except (RedisError, OSError, ValueError) as error:
                log.warning("live_subscription_lost", error=type(error).__name__)
                time.sleep(1)

    def _hand_out(self, told: dict[str, Any]) -> None:
        for listener in tuple(self.listeners.get(str(told.get("organization_id")), ())):
            try:
                listener.box.put_nowait(told)
            except queue.Full:
                listener.missed = True  # it is busy, and will look when it comes back

    def _everyone_missed(self) -> None:
        for each in tuple(self.listeners.values()):
            for listener in tuple(each):
                listener.missed = True
                with suppress(queue.Full):
                    listener.box.put_nowait({"event": "missed"})


def init_app(app: Flask) -> None:
    app.extensions["live"] = Hub(app)
    app.register_blueprint(pages)


def newest(organization_id: uuid.UUID | None) -> str:
    """The cursor of the last thing told in this organization; empty when the queue server is away."""
    try:
        last = redis().xrevrange(stream_key(str(organization_id)), count=1)
    except RedisError:
        return ""
    return last[0][0].decode() if last else "0-0"  # type: ignore[index, union-attr]


def since(organization_id: uuid.UUID | None, cursor: str) -> list[dict[str, Any]] | None:
    """What was told after the cursor; None when that is unknown or too much, and the page must refresh."""
    if not _is_cursor(cursor):
        return None
    key = stream_key(str(organization_id))
    pipe = redis().pipeline(transaction=False)
    pipe.xrange(key, min=f"({cursor}", count=REPLAYED + 1)
    pipe.xrange(key, count=1)
    after, first = pipe.execute()
    if len(after) > REPLAYED:
        return None
    # Behind the oldest one that is kept, or ahead of an emptied server: there may be a gap.
    if cursor != "0-0" and (not first or _parts(first[0][0].decode()) > _parts(cursor)):
        return None
    return [
        {name.decode(): value.decode() for name, value in told.items()} | {"cursor": id.decode()} for id, told in after
    ]


def _is_cursor(text: str) -> bool:
    left, dash, right = text.partition("-")
    return bool(dash) and all(part.isascii() and part.isdigit() and len(part) < 20 for part in (left, right))


def _parts(cursor: str) -> tuple[int, int]:
    left, _, right = cursor.partition("-")
    return int(left), int(right)


class Eyes:
    """What one person may hear of, asked of the visibility function each time."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.known: dict[str, None] = {}

    def look(self) -> None:
        """Remember what the person's lists show now, so that they can be told when one of them goes."""
        c = m.Conversation
        newest_first = visible(self.actor, c).where(c.status == "open").order_by(c.last_message_at.desc(), c.id.desc())
        for id in self._ask(newest_first.with_only_columns(c.id).limit(KNOWN)):
            self.known[str(id)] = None

    def pick(self, events: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Of these, what this person may hear of, with what the page needs and nothing else."""
        asked = {str(told["conversation_id"]) for told in events if told.get("conversation_id")}
        c = m.Conversation
        ids = [uuid.UUID(id) for id in asked]
        seen = {str(id) for id in self._ask(visible(self.actor, c).where(c.id.in_(ids)).with_only_columns(c.id))} if ids else set()
        picked = [self._as_told(told, seen) for told in events]
        return [told for told in picked if told]

    def _as_told(self, told: dict[str, Any], seen: set[str]) -> dict[str, str] | None:
        id = told.get("conversation_id")
        if id in seen:
            self.known.pop(str(id), None)
            self.known[str(id)] = None
            if len(self.known) > KNOWN:
                self.known.pop(next(iter(self.known)))
            return {name: str(told[name]) for name in FIELDS if told.get(name)}
        if id is not None:
            if id not in self.known:
                return None
            del self.known[str(id)]
            return {"event": "gone", "conversation_id": str(id)}
        if told.get("event") == Event.NUMBER_CHANGED and Permission.INBOX_OPEN in self.actor.permissions:
            return {"event": str(told["event"])}
        return None

    def _ask(self, query: Any) -> list[uuid.UUID]:
        assert self.actor.organization_id is not None
        with as_organization(self.actor.organization_id, self.actor.user_id):
            ids = list(session.scalars(query))
        session.rollback()  # a stream that waits must not hold a connection
        return ids


@pages.get("/inbox/stream")
@security.guard(Permission.INBOX_OPEN, by_itself=True)
def stream() -> Response:
    """Server-sent events for one open page; 503 when this process carries enough of them, and the page polls."""
    actor, hub = security.actor(), current_app.extensions["live"]
    if hub.count() >= current_app.config.get(AT_ONCE, 24):
        response = Response("", 503, mimetype="text/event-stream")
        response.headers["Retry-After"] = "10"
        return response
    cursor = request.headers.get("Last-Event-ID") or request.args.get("since", "")
    response = Response(stream_with_context(_events(hub, actor, cursor)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _events(hub: Hub, actor: Actor, cursor: str) -> Iterator[str]:
    listener, eyes = Listener(), Eyes(actor)
    with hub.listening(str(actor.organization_id), listener):
        eyes.look()
        yield "retry: 3000\n\n"
        cursor = yield from _catch_up(eyes, cursor)
        begun = checked = time.monotonic()
        while time.monotonic() - begun < LONGEST:
            told = _wait(listener)
            if any(_is_about_access(one, actor) for one in told) or time.monotonic() - checked > RECHECK:
                checked = time.monotonic()
                if not _is_still(actor):
                    # Not quietly carried on with other eyes: the page opens again as the person they are now.
                    yield _line("closed", "", {})
                    return
            if listener.missed:
                listener.missed = False
                cursor = yield from _catch_up(eyes, cursor)
            elif told:
                cursor = yield from _lines(eyes, told)
            else:
                yield ": still here\n\n"


def _is_still(actor: Actor) -> bool:
    """Whether the browser is signed in still, as the same person with the same rights."""
    fresh = security.recheck()
    session.rollback()
    if fresh is None or fresh.organization_id != actor.organization_id:
        return False
    return fresh.permissions == actor.permissions and fresh.team_ids == actor.team_ids


def _wait(listener: Listener) -> list[dict[str, Any]]:
    """What arrives next, and whatever stands behind it already; empty after a heartbeat of silence."""
    try:
        told = [listener.box.get(timeout=HEARTBEAT)]
    except queue.Empty:
        return []
    while len(told) < 50:
        try:
            told.append(listener.box.get_nowait())
        except queue.Empty:
            break
    return told


def _catch_up(eyes: Eyes, cursor: str) -> Generator[str, None, str]:
    """What was told since the cursor, or "refresh" when nobody knows; answers the cursor to go on from."""
    try:
        missed = since(eyes.actor.organization_id, cursor)
    except RedisError:
        missed = None
    if missed is not None:
        return (yield from _lines(eyes, missed)) or cursor
    cursor = newest(eyes.actor.organization_id)
    yield _line("refresh", cursor, {})
    return cursor


def _lines(eyes: Eyes, told: list[dict[str, Any]]) -> Generator[str, None, str]:
    for one in eyes.pick(told):
        yield _line("change", "", one)
    last = next((str(one["cursor"]) for one in reversed(told) if one.get("cursor")), "")
    if last:
        yield f"id: {last}\n\n"
    return last


def _line(name: str, cursor: str, data: dict[str, str]) -> str:
    id = f"id: {cursor}\n" if cursor else ""
    return f"{id}event: {name}\ndata: {json.dumps(data)}\n\n"


def _is_about_access(told: dict[str, Any], actor: Actor) -> bool:
    about = told.get("user_id")
    return told.get("event") == Event.ACCESS_CHANGED and (about is None or about == str(actor.user_id))


@pages.get("/inbox/changes")
@security.guard(Permission.INBOX_OPEN, by_itself=True)
def changes() -> Response:
    """What happened since a cursor, for a page that polls; `refresh` when nobody can tell any more."""
    actor = security.actor()
    cursor = newest(actor.organization_id)
    try:
        told = since(actor.organization_id, request.args.get("since", ""))
    except RedisError:
        told = None
    if told is None:
        return jsonify(cursor=cursor, refresh=True, events=[])
    # A page that polls remembers itself what it shows: a conversation it asks for and does not get is gone.
    return jsonify(cursor=told[-1]["cursor"] if told else request.args["since"], refresh=False, events=Eyes(actor).pick(told))
