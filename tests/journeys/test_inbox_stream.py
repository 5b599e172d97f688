"""The live stream: what it replays, to whom, and when it ends or gives way to polling."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from tests import factories
from tests.visiting import visit
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import session, transaction
from whatalker.events import Event, publish
from whatalker.tenancy import as_organization


@pytest.fixture
def people(app: Flask) -> factories.People:
    with app.app_context():
        return factories.make_people()


@pytest.fixture
def conversation(app: Flask, people: factories.People) -> m.Conversation:
    with app.app_context():
        return factories.make_conversation(people.organization, assignee_id=people.agent.user_id)


def tell(app: Flask, organization_id: uuid.UUID, event: Event, **ids: Any) -> None:
    with app.app_context(), transaction(), as_organization(organization_id):
        publish(event, organization_id, **ids)


def told(stream: Iterator[bytes], until: str) -> list[dict[str, Any]]:
    """The changes a stream sends before a line that begins with `until`."""
    found: list[dict[str, Any]] = []
    for chunk in stream:
        text = chunk.decode()
        if "event: change" in text:
            found.append(json.loads(text.split("data: ")[1]))
        if text.startswith(until):
            return found
    raise AssertionError(f"the stream ended without {until}")


def open_stream(app: Flask, who: Actor, since: str = "0-0") -> Iterator[bytes]:
    response = visit(app, who).get(f"/inbox/stream?since={since}", buffered=False)
    assert response.status_code == 200 and response.headers["Content-Type"].startswith("text/event-stream")
    return iter(response.response)


def test_a_stream_replays_what_its_person_may_see_and_only_ids(app: Flask, people: factories.People, conversation: m.Conversation) -> None:
    organization = people.organization.id
    with app.app_context():
        hidden = factories.make_conversation(people.organization, assignee_id=people.supervisor.user_id)
    for one in (conversation, hidden):
        tell(app, organization, Event.MESSAGE_RECEIVED, conversation_id=one.id, message_id=uuid.uuid4(), note="secret words")
    tell(app, people.elsewhere.id, Event.MESSAGE_RECEIVED, conversation_id=uuid.uuid4())
    (change,) = told(open_stream(app, people.agent), "id: ")
    assert change.pop("message_id")
    assert change == {"event": "message.received", "conversation_id": str(conversation.id)}


@pytest.mark.parametrize("cursor", ["", "1-1", "x", "0-0-0", "99999999999999999999999-1", "-", "é"])
def test_a_cursor_nobody_knows_ends_in_a_refresh(app: Flask, people: factories.People, conversation: m.Conversation, cursor: str) -> None:
    tell(app, people.organization.id, Event.MESSAGE_RECEIVED, conversation_id=conversation.id)
    stream = open_stream(app, people.agent, cursor)
    assert next(stream).startswith(b"retry")
    assert b"event: refresh" in next(stream)
    assert visit(app, people.agent).get(f"/inbox/changes?since={cursor}").get_json()["refresh"] is True


def test_too_much_to_catch_up_with_is_a_refresh(app: Flask, people: factories.People, conversation: m.Conversation) -> None:
    for _each in range(210):
        tell(app, people.organization.id, Event.MESSAGE_RECEIVED, conversation_id=conversation.id, message_id=uuid.uuid4())
    assert visit(app, people.agent).get("/inbox/changes?since=0-0").get_json() | {"cursor": ""} == {"cursor": "", "refresh": True, "events": []}


def test_what_a_person_was_shown_and_may_not_see_any_more_is_gone(app: Flask, people: factories.People, conversation: m.Conversation) -> None:
    stream = open_stream(app, people.agent)
    assert next(stream).startswith(b"retry")
    with app.app_context(), transaction(), as_organization(people.organization.id):
        session.execute(update(m.Conversation).values(assignee_id=people.supervisor.user_id))
    tell(app, people.organization.id, Event.CONVERSATION_CHANGED, conversation_id=conversation.id)
    assert told(stream, "id: ") == [{"event": "gone", "conversation_id": str(conversation.id)}]
    tell(app, people.organization.id, Event.MESSAGE_RECEIVED, conversation_id=conversation.id)
    assert told(stream, "id: ") == []


def test_a_stream_ends_when_its_persons_rights_change(app: Flask, people: factories.People) -> None:
    stream = open_stream(app, people.agent)
    assert next(stream).startswith(b"retry")
    tell(app, people.organization.id, Event.ACCESS_CHANGED, user_id=people.supervisor.user_id)
    with app.app_context(), transaction(), as_organization(people.organization.id):
        session.execute(update(m.Membership).values(role="viewer").where(m.Membership.user_id == people.agent.user_id))
    tell(app, people.organization.id, Event.ACCESS_CHANGED, user_id=people.agent.user_id)
    assert any(b"event: closed" in chunk for chunk in stream)


def test_one_stream_too_many_is_told_to_poll(app: Flask, people: factories.People) -> None:
    app.config["STREAMS_PER_PROCESS"] = 1
    try:
        first = open_stream(app, people.agent)
        next(first)
        refused = visit(app, people.agent).get("/inbox/stream")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        first.close()  # type: ignore[attr-defined]
        next(open_stream(app, people.agent))
    finally:
        del app.config["STREAMS_PER_PROCESS"]


def test_people_without_the_inbox_have_no_stream(app: Flask, people: factories.People) -> None:
    with app.app_context():
        developer = factories.make_member(people.organization, "developer")
    assert visit(app, developer).get("/inbox/stream").status_code == 403
