"""The inbox without script: read, reply, note, template, assign and resolve by plain pages and forms."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select

from tests import factories
from tests.visiting import visit
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import db, now, session, transaction
from whatalker.services import noting
from whatalker.tenancy import as_organization


@pytest.fixture
def scene(app: Flask) -> tuple[factories.People, m.Conversation]:
    """The agent's own conversation with Ana, whose window is open."""
    with app.app_context():
        people = factories.make_people()
        contact = factories.make_contact(people.organization, "573001234918", name="Ana Souza", name_folded="ana souza")
        account = factories.make_channel_account(people.organization)
        conversation = factories.make_conversation(
            people.organization, contact=contact, channel_account=account, assignee_id=people.agent.user_id, unread_count=1
        )
        factories.make_message(conversation, text="Are you open today?", content={"text": "Are you open today?"})
    return people, conversation


def rows(app: Flask, people: factories.People, model: Any, **where: Any) -> list[Any]:
    with app.app_context(), transaction(), as_organization(people.organization.id):
        return list(session.scalars(select(model).filter_by(**where)))


def field(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found, f"no field {name}"
    return found[1]


def reply(page: Any, conversation: m.Conversation, html: str, text: str, **more: Any) -> Any:
    data = {name: field(html, name) for name in ("client_message_id", "seen_message_id")}
    return page.post(f"/inbox/{conversation.id}/reply", data=data | {"mode": "reply", "text": text} | more)


@contextmanager
def counted_statements(app: Flask) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "set_config" not in statement:
            seen.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_an_agent_reads_and_answers_without_script(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    assert "Ana Souza" in page.get("/inbox").text
    html = page.get(f"/inbox/{conversation.id}").text
    assert "Are you open today?" in html and "23 h left" in html and "573001234918" not in html
    sent = reply(page, conversation, html, "Yes, until six")
    assert sent.status_code == 303
    after = page.get(sent.headers["Location"]).text
    assert "Yes, until six" in after and "Queued" in after
    (message,) = rows(app, people, m.Message, direction="out")
    assert (message.text, message.status, message.author_id) == ("Yes, until six", "queued", people.agent.user_id)


def test_the_same_form_twice_is_one_message(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    for _click in range(2):
        assert reply(page, conversation, html, "Once").status_code == 303
    assert len(rows(app, people, m.Message, direction="out")) == 1


def test_two_tabs_of_one_draft_with_other_words_lose_nothing(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    reply(page, conversation, html, "First")
    second = reply(page, conversation, html, "Second")
    assert second.status_code == 422 and "already sent from another tab" in second.text and "Second" in second.text
    assert [draft.text for draft in rows(app, people, m.Draft)] == ["Second"]


def test_a_page_without_the_newest_message_stops_once_and_keeps_the_text(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    with app.app_context():
        factories.make_message(conversation, text="Never mind!", at=now() + timedelta(seconds=1))
    stopped = reply(page, conversation, html, "Yes we are")
    assert stopped.status_code == 422 and "1 new message arrived" in stopped.text and "Yes we are" in stopped.text
    assert rows(app, people, m.Message, direction="out") == []
    assert reply(page, conversation, stopped.text, "Yes we are", anyway=field(stopped.text, "anyway")).status_code == 303
    assert len(rows(app, people, m.Message, direction="out")) == 1


@pytest.mark.parametrize("text", ["", "   ", "Hello {{contact.name}}", "x" * 4097])
def test_what_cannot_be_sent_comes_back_with_why(app: Flask, scene: Any, text: str) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    stopped = reply(page, conversation, page.get(f"/inbox/{conversation.id}").text, text)
    assert stopped.status_code == 422 and 'class="bad"' in stopped.text
    assert rows(app, people, m.Message, direction="out") == []


def test_a_note_stays_inside(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    assert reply(page, conversation, html, "Call her <b>tomorrow</b>", mode="note").status_code == 303
    shown = page.get(f"/inbox/{conversation.id}").text
    assert "Call her &lt;b&gt;tomorrow&lt;/b&gt;" in shown
    assert rows(app, people, m.Message, direction="out") == []


def test_after_the_window_only_a_template_goes(app: Flask, scene: Any) -> None:
    people, conversation = scene
    with app.app_context():
        with transaction(), as_organization(people.organization.id):
            stored = session.scalars(select(m.Conversation)).one()
            stored.window_expires_at = now() - timedelta(seconds=12)
            noting.save_draft(people.agent, stored, "My draft")
            account = session.scalars(select(m.ChannelAccount)).one()
        template = factories.make_template(people.organization, account, name="order_ready")
        factories.make_template(people.organization, account, name="not_yet", status="PENDING")
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    assert "Window closed — template only" in html and "My draft" in html
    panel = page.get(f"/inbox/{conversation.id}/templates").text
    assert "order_ready" in panel and "WhatsApp is still reviewing it" in panel
    form = page.get(f"/inbox/{conversation.id}/templates/{template.id}").text
    assert "For example: Ana" in form
    address, client = f"/inbox/{conversation.id}/templates/{template.id}", str(uuid.uuid4())
    missing = page.post(address, data={"client_message_id": client})
    assert missing.status_code == 422 and "Fill in every field" in missing.text
    sent = page.post(address, data={"client_message_id": client, "body_1": "Ana"})
    assert sent.status_code == 303
    (message,) = rows(app, people, m.Message, direction="out")
    assert (message.kind, message.text) == ("template", "Hello Ana, your order is ready.")
    assert [draft.text for draft in rows(app, people, m.Draft)] == ["My draft"]


def test_assigning_resolving_snoozing_and_reopening_by_plain_forms(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page, address = visit(app, people.supervisor), f"/inbox/{conversation.id}"
    me = str(people.agent.user_id)
    assert page.post(f"{address}/assign", data={"assignee": "me", "expected": me}).headers["Location"].startswith(address)
    late = visit(app, people.owner).post(f"{address}/assign", data={"assignee": "me", "expected": me}, follow_redirects=True)
    assert "Already taken by Supervisor" in late.text
    page.post(f"{address}/snooze", data={"until": "tomorrow"})
    assert rows(app, people, m.Conversation)[0].status == "snoozed"
    page.post(f"{address}/reopen")
    assert page.post(f"{address}/resolve").headers["Location"].startswith("/inbox?")
    assert rows(app, people, m.Conversation)[0].status == "resolved"
    shown = page.get(address).text
    assert "You took" not in shown and "Supervisor took this conversation" in shown and "Supervisor resolved this" in shown


def test_taking_the_next_one_opens_it(app: Flask, scene: Any) -> None:
    people, _conversation = scene
    with app.app_context():
        waiting = factories.make_conversation(people.organization)
    page = visit(app, people.agent)
    assert f"/inbox/{waiting.id}" in page.post("/inbox/next").headers["Location"]
    assert "the queue is empty" in page.post("/inbox/next", follow_redirects=True).text


def test_reading_marks_seen_and_asks_for_blue_ticks(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    page.get(f"/inbox/{conversation.id}", headers={"Sec-Purpose": "prefetch"})
    assert rows(app, people, m.Conversation)[0].unread_count == 1
    page.get(f"/inbox/{conversation.id}")
    assert rows(app, people, m.Conversation)[0].unread_count == 0
    assert any(b"confirm_read" in key for key in app.extensions["redis"].keys("bell:*"))


def test_a_whole_number_is_shown_once_to_who_may_and_is_audited(app: Flask, scene: Any) -> None:
    people, conversation = scene
    address = f"/inbox/{conversation.id}/reveal"
    assert visit(app, people.agent).post(address).status_code == 403
    assert "+57 300 1234918" in visit(app, people.supervisor).post(address).text
    assert len(rows(app, people, m.AuditEvent, action="contact.revealed")) == 1


def test_a_picture_is_sent_with_its_caption_and_shown_in_the_thread(app: Flask, scene: Any) -> None:
    people, conversation = scene
    page = visit(app, people.agent)
    html = page.get(f"/inbox/{conversation.id}").text
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 100
    sent = reply(page, conversation, html, "Like this?", file=(io.BytesIO(png), "cup.png"))
    assert sent.status_code == 303, sent.text
    (message,) = rows(app, people, m.Message, direction="out")
    assert (message.kind, message.content["caption"]) == ("image", "Like this?")
    (file,) = rows(app, people, m.Attachment)
    served = page.get(f"/inbox/media/{file.id}")
    assert served.data == png and served.headers["Content-Type"] == "image/png"
    assert visit(app, people.stranger).get(f"/inbox/media/{file.id}").status_code == 404


def test_why_and_when_are_pages_of_their_own(app: Flask, scene: Any) -> None:
    people, conversation = scene
    with app.app_context():
        message = factories.make_message(conversation, "out", status="blocked", error_code="suppressed", text="Offer!")
        factories._add(
            m.MessageEvent(organization_id=people.organization.id, message_id=message.id, event_key="x", kind="blocked", at=now()),
            people.organization.id,
        )
    page, address = visit(app, people.agent), f"/inbox/{conversation.id}/messages/{message.id}"
    assert "Not sent" in page.get(f"/inbox/{conversation.id}").text
    assert "Stopped by a rule" in page.get(f"{address}/timeline").text
    assert page.get(f"{address}/why").status_code == 200
    assert "sees it" in page.get(f"/inbox/{conversation.id}/who").text


def test_a_page_with_all_panes_costs_eight_statements_and_few_bytes(app: Flask, scene: Any) -> None:
    people, conversation = scene
    with app.app_context():
        account = factories.make_channel_account(people.organization)
        for _each in range(60):
            factories.make_conversation(people.organization, channel_account=account)
            factories.make_message(conversation)
    page = visit(app, people.agent)
    page.get(f"/inbox/{conversation.id}")
    with counted_statements(app) as statements:
        shown = page.get(f"/inbox/{conversation.id}")
    assert len(statements) <= 8, "\n".join(statement[:90] for statement in statements)
    import gzip

    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+\.(?:js|css))"', shown.text))
    weight = sum(len(gzip.compress(page.get(asset).data)) for asset in assets)
    assert assets and weight <= 60_000


@pytest.mark.parametrize("who", ["agent", "supervisor", "owner", "stranger"])
def test_every_surface_shows_a_conversation_to_who_may_see_it_and_to_nobody_else(app: Flask, scene: Any, who: str) -> None:
    people, conversation = scene
    secret = "Zanzibar"
    with app.app_context():
        with transaction(), as_organization(people.organization.id):
            # The supervisor's alone: the agent may not see what is assigned to others.
            stored = session.scalars(select(m.Conversation)).one()
            stored.assignee_id = people.supervisor.user_id
            contact = session.scalars(select(m.Contact)).one()
            contact.name, contact.name_folded = secret, secret.lower()
        message = factories.make_message(conversation, kind="image", text=f"{secret} again", content={"caption": secret})
        file = factories._add(
            m.Attachment(organization_id=people.organization.id, message_id=message.id, kind="image"), people.organization.id
        )
    actor: Actor = getattr(people, who)
    may = who in ("supervisor", "owner")
    page, thread = visit(app, actor), f"/inbox/{conversation.id}"
    for tab in ("mine", "unassigned", "team", "all"):
        html = page.get(f"/inbox?tab={tab}").text
        assert may or secret not in html
    assert (secret in page.get("/inbox?tab=all").text) is may
    assert (secret in page.get("/inbox/search?q=zanzi").text) is may
    assert (secret in page.get(f"/inbox/rows/{conversation.id}?tab=all").text) is may
    counts = page.get("/inbox/counts").get_json()
    assert (counts.get("all", counts["unassigned"])["count"] == 1) is may
    reads = ("", "/log", "/head", "/who", "/templates", "/canned", f"/messages/{message.id}", f"/messages/{message.id}/timeline",
             f"/messages/{message.id}/why")  # fmt: skip
    for path in reads:
        assert page.get(thread + path).status_code == (200 if may else 404), path
    for path in ("/assign", "/team", "/resolve", "/reopen", "/snooze", "/labels", "/seen", "/unread", "/reply", "/draft", "/block",
                 f"/messages/{message.id}/retry", f"/messages/{message.id}/cancel"):  # fmt: skip
        if not may:
            assert page.post(thread + path, data={"client_message_id": str(uuid.uuid4())}).status_code == 404, path
    assert page.get(f"/inbox/media/{file.id}").status_code == 404  # not fetched yet, or not theirs: the same words
    changes = page.get("/inbox/changes?since=0-0").get_json()
    assert (str(conversation.id) in str(changes)) is (may and bool(changes["events"]))


def test_who_has_nothing_of_their_own_lands_where_somebody_waits(app: Flask, scene: Any) -> None:
    people, conversation = scene
    assert visit(app, people.agent).get("/inbox").status_code == 200
    with app.app_context():
        free = factories.make_member(people.organization, "agent", (people.team,))
        factories.make_conversation(people.organization, contact=factories.make_contact(people.organization, name="Waiting Wanda"))
    landed = visit(app, free).get("/inbox", follow_redirects=True)
    assert landed.request.args["tab"] == "unassigned"
    assert "Waiting Wanda" in landed.text
    # A tab that was asked for by name is shown as it is, empty or not.
    assert visit(app, free).get("/inbox?tab=mine").status_code == 200
