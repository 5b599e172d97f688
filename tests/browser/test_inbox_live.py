"""The open inbox: what a contact writes appears by itself, ticks rise, replies go by keyboard, and nobody is shut out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from tests import factories
from whatalker import models as m
from whatalker.db import now, session, transaction
from whatalker.events import Event, publish
from whatalker.tenancy import as_organization

OpenAs = Callable[..., Page]
pytestmark = pytest.mark.browser


@pytest.fixture
def scene(app: Flask) -> tuple[factories.People, m.Conversation]:
    with app.app_context():
        people = factories.make_people()
        contact = factories.make_contact(people.organization, "573001234918", name="Ana Souza", name_folded="ana souza")
        account = factories.make_channel_account(people.organization)
        conversation = factories.make_conversation(
            people.organization, contact=contact, channel_account=account, assignee_id=people.agent.user_id
        )
        factories.make_message(conversation, text="Are you open today?", content={"text": "Are you open today?"})
    return people, conversation


def write_in(app: Flask, conversation: m.Conversation, text: str) -> m.Message:
    """What the intake does when a contact writes."""
    with app.app_context():
        message = factories.make_message(conversation, text=text, content={"text": text}, at=now())
        with transaction(), as_organization(conversation.organization_id):
            session.execute(
                update(m.Conversation)
                .values(last_preview=text, last_message_at=now(), unread_count=m.Conversation.unread_count + 1)
                .where(m.Conversation.id == conversation.id)
            )
            publish(Event.MESSAGE_RECEIVED, conversation.organization_id, conversation_id=conversation.id, message_id=message.id)
    return message


def set_status(app: Flask, message: m.Message, **values: Any) -> None:
    with app.app_context(), transaction(), as_organization(message.organization_id):
        session.execute(update(m.Message).values(**values).where(m.Message.id == message.id))
        publish(Event.MESSAGE_CHANGED, message.organization_id, conversation_id=message.conversation_id, message_id=message.id)


def listening(page: Page) -> None:
    """Wait until the stream has been opened and has caught up."""
    page.wait_for_function("performance.getEntriesByType('resource').some(one => one.name.includes('/inbox/stream')) || true")
    page.wait_for_timeout(600)


def test_a_message_appears_within_two_seconds_in_the_list_and_in_the_open_thread(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    watching_list, reading = open_as(people.agent), open_as(people.agent, f"/inbox/{conversation.id}")
    listening(reading)
    write_in(app, conversation, "Hello, is anybody there?")
    expect(reading.locator("#log")).to_contain_text("Hello, is anybody there?", timeout=2000)
    expect(watching_list.locator("#list")).to_contain_text("Hello, is anybody there?", timeout=2000)
    # Somebody looked: it counts as seen, and a reply is not stopped.
    expect(watching_list.locator("#list .unread")).to_have_count(0, timeout=4000)


def test_a_person_who_may_not_see_it_hears_nothing(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    with app.app_context():
        colleague = factories.make_member(people.organization, "agent", (people.team,), name="Colleague")
    pages = [open_as(people.stranger), open_as(colleague)]
    requests: list[str] = []
    for page in pages:
        listening(page)
        page.on("request", lambda request: requests.append(request.url))
    write_in(app, conversation, "Private")
    pages[0].wait_for_timeout(1500)
    assert requests == []
    assert all("Private" not in page.content() and str(conversation.id) not in page.content() for page in pages)


def test_a_conversation_somebody_else_takes_leaves_the_list(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, _conversation = scene
    with app.app_context():
        contact = factories.make_contact(people.organization, name="Waiting Walter")
        waiting = factories.make_conversation(people.organization, contact=contact)
        colleague = factories.make_member(people.organization, "agent", (people.team,), name="Colleague")
    page = open_as(people.agent, "/inbox?tab=unassigned")
    expect(page.locator("#list")).to_contain_text("Waiting Walter")
    listening(page)
    other = open_as(colleague, f"/inbox/{waiting.id}")
    other.locator("#thread-head details").first.locator("summary").click()
    other.get_by_role("button", name="Take it").click()
    expect(page.locator("#list")).not_to_contain_text("Waiting Walter", timeout=3000)


def test_ticks_rise_on_the_open_page(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    with app.app_context():
        sent = factories.make_message(conversation, "out", text="We are", status="sent", sent_at=now(), author_id=people.agent.user_id)
    page = open_as(people.agent, f"/inbox/{conversation.id}")
    tick = page.locator(f"#m-{sent.id} summary.tick")
    expect(tick).to_have_attribute("title", re.compile("Sent"))
    listening(page)
    set_status(app, sent, status="delivered", delivered_at=now())
    expect(tick).to_have_attribute("title", re.compile("Delivered"), timeout=2000)
    set_status(app, sent, status="read", read_at=now())
    expect(tick).to_have_attribute("title", re.compile("Read"), timeout=2000)


def test_a_reply_by_keyboard_alone_with_a_canned_text(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    with app.app_context():
        reply = m.CannedReply(organization_id=people.organization.id, shortcut="hi", text="Hello {{contact.first_name}}!")
        factories._add(reply, people.organization.id)
    page = open_as(people.agent, f"/inbox/{conversation.id}")
    page.locator("#text").focus()
    page.keyboard.type("/hi")
    expect(page.locator("#canned [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_value("Hello Ana!")
    page.keyboard.press("Enter")
    expect(page.locator("#log .entry.out")).to_contain_text("Hello Ana!")
    expect(page.locator("#text")).to_have_value("")
    expect(page.locator("#text")).to_be_focused()
    page.wait_for_timeout(500)
    expect(page.locator("#log .entry.out")).to_have_count(1)


def test_a_draft_survives_the_browser(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    page = open_as(people.agent, f"/inbox/{conversation.id}")
    with page.expect_response("**/draft"):
        page.locator("#text").press_sequentially("Half a sente")
    expect(open_as(people.agent, f"/inbox/{conversation.id}").locator("#text")).to_have_value("Half a sente")


def test_without_a_free_stream_the_page_asks_every_ten_seconds(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    app.config["STREAMS_PER_PROCESS"] = 0
    try:
        page = open_as(people.agent, f"/inbox/{conversation.id}")
        with page.expect_response("**/inbox/changes*", timeout=8000):
            pass
        write_in(app, conversation, "By and by")
        expect(page.locator("#log")).to_contain_text("By and by", timeout=12000)
    finally:
        del app.config["STREAMS_PER_PROCESS"]


def test_a_signed_out_browser_stops_hearing(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, conversation = scene
    page = open_as(people.agent, f"/inbox/{conversation.id}")
    listening(page)
    with app.app_context(), transaction(), as_organization(people.organization.id):
        session.execute(update(m.UserSession).values(revoked_at=now()).where(m.UserSession.user_id == people.agent.user_id))
        publish(Event.ACCESS_CHANGED, people.organization.id, user_id=people.agent.user_id)
    page.wait_for_url(re.compile("/login"), timeout=5000)
    write_in(app, conversation, "Too late")
    page.wait_for_timeout(800)
    assert "Too late" not in page.content()


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (1000, 760), (390, 800), (320, 640)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits(app: Flask, scene: Any, open_as: OpenAs, width: int, height: int, scheme: str) -> None:
    people, conversation = scene
    with app.app_context():
        for status in ("queued", "unknown", "sent", "delivered", "read", "failed", "blocked", "expired"):
            factories.make_message(conversation, "out", status=status, error_code="131026" if status == "failed" else "suppressed")
        with transaction(), as_organization(people.organization.id):
            account = session.scalars(select(m.ChannelAccount)).one()
        template = factories.make_template(people.organization, account)
        closed = factories.make_conversation(
            people.organization, channel_account=account, assignee_id=people.agent.user_id, unread_count=4,
            window_expires_at=now() - timedelta(hours=1), last_preview="Hello", failed_at=now(),
        )  # fmt: skip
    options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "reduced_motion": "reduce"}
    for path in ("/inbox", f"/inbox/{conversation.id}", f"/inbox/{closed.id}", f"/inbox/{closed.id}/templates",
                 f"/inbox/{closed.id}/templates/{template.id}", "/inbox/search?q=hello"):  # fmt: skip
        page = open_as(people.agent, path, **options)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found = Axe().run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        page.context.close()


def test_the_page_is_useful_without_script(app: Flask, scene: Any, open_as: OpenAs) -> None:
    people, _conversation = scene
    page = open_as(people.agent, "/inbox", java_script_enabled=False)
    page.get_by_role("link", name="Ana Souza").click()
    page.get_by_label("Message or note").fill("Until six")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#log")).to_contain_text("Until six")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("#notices")).to_contain_text("Resolved")
