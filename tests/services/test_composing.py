"""Messages asked for: once for each wish, checked for their kind, judged without a trace, taken back, written again."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests import factories
from tests.services.outbox import decisions, inside, make_number, read, run_outbox, timeline
from whatalker import models as m
from whatalker.db import now, session
from whatalker.errors import Conflict, Invalid, NotAllowed
from whatalker.queues import waiting_bells
from whatalker.services import composing

pytestmark = pytest.mark.usefixtures("app_context")


@pytest.fixture
def number(people: factories.People, app_context: None) -> m.ChannelAccount:
    return make_number(people.organization)


@pytest.fixture
def conversation(people: factories.People, number: m.ChannelAccount) -> m.Conversation:
    return factories.make_conversation(people.organization, channel_account=number)


def test_a_double_click_is_one_message(
    app: Flask, people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    wish, made = uuid.uuid4(), []

    def click() -> None:
        with app.app_context(), inside(conversation):
            made.append(
                composing.queue_message(people.agent, conversation, "text", {"text": "Once"}, client_message_id=wish).id
            )

    clicks = [threading.Thread(target=click) for _ in range(6)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    run_outbox(number)
    [message] = read(number)
    assert set(made) == {message.id} and len(made) == 6
    assert timeline(number, message.id) == ["queued", "sending", "accepted"]


def test_the_same_wish_in_another_conversation_is_a_conflict(
    people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    wish = uuid.uuid4()
    other = factories.make_conversation(people.organization, channel_account=number)
    with inside(conversation):
        composing.queue_message(people.agent, conversation, "text", {"text": "Hello"}, client_message_id=wish)
        with pytest.raises(Conflict):
            composing.queue_message(people.agent, other, "text", {"text": "Hello"}, client_message_id=wish)


def test_it_rings_once_committed_and_shows_in_the_list(people: factories.People, conversation: m.Conversation) -> None:
    with inside(conversation):
        composing.queue_message(people.agent, conversation, "text", {"text": "On its way"})
        assert waiting_bells("interactive") == set()
    assert len(waiting_bells("interactive")) == 1
    with inside(conversation):
        again = session.scalars(select(m.Conversation).execution_options(populate_existing=True)).one()
        assert (again.last_preview, again.last_direction, again.waiting_since) == ("On its way", "out", None)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("text", {"text": "  "}), ("text", {}), ("hologram", {"text": "x"}), ("image", {}), ("text", {"text": "x" * 5000})],
)
def test_what_its_kind_does_not_allow_is_refused_and_not_stored(people: factories.People, kind: str, content: Any) -> None:
    conversation = factories.make_conversation(people.organization)  # a WhatsApp number
    with inside(conversation):
        with pytest.raises(Invalid):
            composing.queue_message(people.agent, conversation, kind, content)
        assert session.scalar(select(func.count()).select_from(m.Message)) == 0


def test_whoever_may_not_send_neither_sends_nor_asks(people: factories.People, conversation: m.Conversation) -> None:
    viewer = factories.make_member(people.organization, "viewer")
    with inside(conversation):
        for act in (composing.queue_message, composing.preview):
            with pytest.raises(NotAllowed):
                act(viewer, conversation, "text", {"text": "Hello"})


def test_a_preview_says_what_the_gate_would_and_leaves_no_trace(
    people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    with inside(conversation):
        assert composing.preview(people.agent, conversation, "text", {"text": "Hello"}).allowed
        session.execute(update(m.Conversation).values(window_expires_at=now() - timedelta(minutes=3)))
        decision = composing.preview(people.agent, conversation, "text", {"text": "Hello"})
    assert (decision.code, decision.sentence) == ("window_closed", "The 24-hour window closed 3 min ago.")
    assert decisions(number) == [] and read(number) == []


def test_a_waiting_message_can_be_taken_back_and_a_sent_one_cannot(
    people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    with inside(conversation):
        later = now() + timedelta(hours=1)
        waiting = composing.queue_message(people.agent, conversation, "text", {"text": "Later"}, available_at=later)
        gone = composing.queue_message(people.agent, conversation, "text", {"text": "Now"})
    run_outbox(number)
    with inside(conversation):
        composing.cancel_message(people.agent, waiting)
    with inside(conversation), pytest.raises(Conflict):
        composing.cancel_message(people.agent, gone)
    with inside(conversation), pytest.raises(Conflict):
        composing.cancel_message(people.agent, waiting)
    by_text = {message.text: message for message in read(number)}
    assert (by_text["Later"].status, by_text["Later"].error_code) == ("expired", "cancelled")
    assert by_text["Now"].status == "sent"
    assert timeline(number, waiting.id) == ["queued", "cancelled"]


def test_a_failed_message_is_written_again_once_and_an_unknown_one_never(
    people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    failed = factories.make_message(conversation, "out", status="failed", error_code="131000")
    unknown = factories.make_message(conversation, "out", status="unknown")
    with inside(conversation):
        first = composing.retry_message(people.agent, failed)
        second = composing.retry_message(people.agent, failed)
        with pytest.raises(Conflict):
            composing.retry_message(people.agent, unknown)
    assert first.id == second.id != failed.id
    assert (first.text, first.status) == (failed.text, "queued")


COMPONENTS = [
    {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
    {"type": "BODY", "text": "Hi {{1}}, {{2}} is ready. Thanks, {{1}}!", "example": {"body_text": [["Ana", "it"]]}},
    {"type": "FOOTER", "text": "Reply to change it"},
    {"type": "BUTTONS", "buttons": [
        {"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}", "example": ["42"]},
        {"type": "QUICK_REPLY", "text": "Thank you"},
        {"type": "COPY_CODE", "example": "SAVE10"},
    ]},
]  # fmt: skip


def test_a_template_is_filled_in_as_its_provider_wants_it(people: factories.People, number: m.ChannelAccount) -> None:
    template = factories.make_template(people.organization, number, components=COMPONENTS)
    fields = [(field.key, field.example) for field in composing.template_fields(template)]
    assert fields == [("header_1", ""), ("body_1", "Ana"), ("body_2", "it"), ("button_0", "42"), ("button_2", "")]
    flat = {"header_1": "77", "body_1": "Ana", "body_2": "your hat", "button_0": "77", "button_2": "SAVE10"}
    nested = {"header": {"1": "77"}, "body": {"1": "Ana", "2": "your hat"}, "button": {"0": "77", "2": "SAVE10"}}
    listed = {"header": "77", "body": ["Ana", "your hat"], "buttons": ["77", None, "SAVE10"]}
    for values in (flat, nested, listed):
        content, text = composing.render_template(template, values)
        assert content["header"] == {"type": "text", "text": "77"}
        assert content["body"] == ["Ana", "your hat"]
        assert [(b["index"], b["type"]) for b in content["buttons"]] == [(0, "url"), (2, "copy_code")]
        assert text == "Order 77\nHi Ana, your hat is ready. Thanks, Ana!\nReply to change it"


def test_named_variables_media_headers_and_login_codes(people: factories.People, number: m.ChannelAccount) -> None:
    named = factories.make_template(
        people.organization, number, components=[{"type": "BODY", "text": "Hi {{first_name}}, see you {{date}}."}]
    )
    content, text = composing.render_template(named, {"body_first_name": "Ana", "body_date": "on Monday"})
    assert (content["body"], text) == ({"first_name": "Ana", "date": "on Monday"}, "Hi Ana, see you on Monday.")
    picture = factories.make_template(people.organization, number, components=[{"type": "HEADER", "format": "IMAGE"}])
    content, _text = composing.render_template(picture, {"header_link": "https://example.com/a.jpg"})
    assert content["header"] == {"type": "image", "link": "https://example.com/a.jpg"}
    code = factories.make_template(
        people.organization, number, category="AUTHENTICATION",
        components=[{"type": "BODY", "text": "{{1}} is your code."}, {"type": "BUTTONS", "buttons": [{"type": "OTP"}]}],
    )  # fmt: skip
    content, _text = composing.render_template(code, {"body_1": "123456"})
    assert content["buttons"] == [{"index": 0, "type": "url", "text": "123456"}]


def test_missing_and_impossible_values_are_named(people: factories.People, number: m.ChannelAccount) -> None:
    template = factories.make_template(people.organization, number, components=COMPONENTS)
    with pytest.raises(Invalid) as missing:
        composing.render_template(template, {"body_1": "Ana"})
    assert missing.value.details["missing"] == ["header_1", "body_2", "button_0", "button_2"]
    values = {"header_1": "7", "body_1": "Ana\nBia", "body_2": "x", "button_0": "7", "button_2": "C"}
    with pytest.raises(Invalid) as broken:
        composing.render_template(template, values)
    assert broken.value.details["field"] == "body_1"


def test_login_codes_expire_after_ten_minutes_and_replies_do_not(
    people: factories.People, number: m.ChannelAccount, conversation: m.Conversation
) -> None:
    template = factories.make_template(people.organization, number, category="AUTHENTICATION")
    content, text = composing.render_template(template, {"body_1": "1"})
    with inside(conversation):
        code = composing.queue_message(people.agent, conversation, "template", content, text=text, template=template)
        reply = composing.queue_message(people.agent, conversation, "text", {"text": "Hello"})
    assert (code.purpose, reply.purpose, reply.not_after) == ("authentication", "service_reply", None)
    assert code.not_after is not None and timedelta(minutes=9) < code.not_after - now() <= timedelta(minutes=10)
