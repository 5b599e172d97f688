"""What happened, told after the commit to whoever is listening; its one rule: ids travel, private text never does."""

from __future__ import annotations

import json
import uuid
from enum import StrEnum
from typing import Any

import structlog
from redis.exceptions import RedisError

from whatalker.db import on_commit, session
from whatalker.queues import redis

log = structlog.get_logger(__name__)

LIVE = "live"
"""The Redis channel that every web process subscribes to once."""

REPLAY = 5_000
"""How many events per organization a page that lost its connection can catch up on; further back it reloads."""


class Event(StrEnum):
    """Everything others may want to hear of; the sentence under each says when."""

    MESSAGE_RECEIVED = "message.received"
    """A contact wrote and the message is stored."""
    MESSAGE_QUEUED = "message.queued"
    """Someone of ours asked for a message to be sent."""
    MESSAGE_CHANGED = "message.changed"
    """A message's status moved: sent, delivered, read, failed, blocked, unknown or expired."""
    CONVERSATION_CHANGED = "conversation.changed"
    """Assignee, team, status, labels, notes or unread count of a conversation changed."""
    CONTACT_CHANGED = "contact.changed"
    """A contact's name, identities or standing changed."""
    NUMBER_CHANGED = "number.changed"
    """A connected number's quality, limit or state changed."""
    ACCESS_CHANGED = "access.changed"
    """A person's role, teams or sessions changed: their live pages must ask again what they may see."""


def stream_key(organization_id: uuid.UUID | str) -> str:
    return f"live:{organization_id}"


def publish(event: Event, organization_id: uuid.UUID, **ids: Any) -> None:
    """Tell of it once the running transaction has committed; the same words twice in a transaction are told once."""
    told = {"event": str(event), "organization_id": str(organization_id)}
    told |= {name: str(value) for name, value in ids.items() if value is not None}
    info = session().info
    if _tell not in info.get("on_commit", ()):
        # The first of its transaction. What a rolled back one has left behind never happened.
        info["events"] = {}
        on_commit(_tell)
    info["events"][json.dumps(told, sort_keys=True)] = told


def _tell() -> None:
    waiting: dict[str, dict[str, str]] = session().info.pop("events", {})
    try:
        pipe = redis().pipeline(transaction=False)
        for told in waiting.values():
            pipe.xadd(stream_key(told["organization_id"]), told, maxlen=REPLAY, approximate=True)  # type: ignore[arg-type]
        cursors = pipe.execute()
        for cursor, told in zip(cursors, waiting.values(), strict=True):
            pipe.publish(LIVE, json.dumps(told | {"cursor": cursor.decode()}))
        pipe.execute()
    except RedisError as error:
        # Pages notice the gap in the cursor, or poll: nothing is lost but the immediacy.
        log.warning("events_not_told", count=len(waiting), error=type(error).__name__)
