"""Facts gathered for a batch: as many statements for one message as for hundreds, and an answer also when a reading fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, select

from tests import factories
from tests.services.outbox import decisions, inside, make_conversations, make_number, make_waiting, read, run_outbox
from whatalker import models as m
from whatalker import policies
from whatalker.db import db, now, session
from whatalker.services import claiming, composing, deciding

pytestmark = pytest.mark.usefixtures("app_context")


@contextmanager
def counted() -> Iterator[list[str]]:
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", count)


@pytest.fixture
def number(people: factories.People, app_context: None) -> m.ChannelAccount:
    return make_number(people.organization)


def test_one_message_and_two_hundred_need_the_same_statements(people: factories.People, number: m.ChannelAccount) -> None:
    template = factories.make_template(people.organization, number)
    counts = []
    for size in (1, 200):
        conversations = make_conversations(number, size)
        make_waiting(conversations, author_id=people.agent.user_id, author_kind="agent")
        with inside(number):
            claimed = claiming.claim(number.id, number.organization_id, "interactive", 500, now())
            assert len(claimed) == size
            with counted() as statements:
                rulings = deciding.decide_and_store(claimed, now())
            counts.append(len(statements))
            assert {ruling.decision.code for ruling in rulings} == {"allowed"}
    assert counts[0] == counts[1] <= len(deciding.READERS) + 3, template
    assert len(decisions(number)) == 201


def test_every_reading_is_one_of_the_engines() -> None:
    assert set(deciding.READERS) == set(policies.READINGS)


def test_the_facts_say_what_the_rows_say(people: factories.People, number: m.ChannelAccount) -> None:
    conversation = factories.make_conversation(people.organization, channel_account=number)
    template = factories.make_template(people.organization, number, status="PAUSED", category="MARKETING")
    with inside(number):
        identity = session.scalars(select(m.ContactIdentity).where(m.ContactIdentity.id == conversation.identity_id)).one()
        identity.channel = "console"
        stop = {"organization_id": number.organization_id, "channel": "console", "key": identity.canonical}
        session.add(m.Suppression(source="keyword", since=now() - timedelta(days=2), **stop))
        session.add(m.Suppression(source="agent", purpose="all", lifted_at=now(), **stop))
        session.scalars(select(m.Contact).where(m.Contact.id == conversation.contact_id)).one().blocked_at = now()
        session.flush()
        content, _text = composing.render_template(template, {"body_1": "Ana"})
        decision = composing.preview(people.agent, conversation, "template", content, template=template)
    trace = {verdict.rule: verdict.code for verdict in decision.trace}
    assert decision.code == "contact_blocked"
    assert trace["suppression"] == "suppressed"
    assert trace["window"] == "template_not_approved"


def test_whoever_left_sends_nothing_more(people: factories.People, number: m.ChannelAccount) -> None:
    conversation = factories.make_conversation(people.organization, channel_account=number)
    with inside(number):
        composing.queue_message(people.agent, conversation, "text", {"text": "Hello"})
        session.scalars(select(m.Membership).where(m.Membership.id == people.agent.membership_id)).one().active = False
    run_outbox(number)
    assert [(message.status, message.error_code) for message in read(number)] == [("blocked", "user_inactive")]


def test_a_reading_that_fails_stops_marketing_and_lets_replies_go(
    people: factories.People, number: m.ChannelAccount, owner_connection: psycopg.Connection[Any]
) -> None:
    reply, reminder, offer = make_conversations(number, 3)
    [first] = make_waiting([reply])
    utility = factories.make_template(people.organization, number)
    marketing = factories.make_template(people.organization, number, category="MARKETING")
    [second] = make_waiting([reminder], kind="template", purpose="transactional", template_id=utility.id)
    [third] = make_waiting([offer], kind="template", purpose="marketing", template_id=marketing.id)
    owner_connection.execute("alter table suppression rename to suppression_away")
    try:
        run_outbox(number)
    finally:
        owner_connection.execute("alter table suppression_away rename to suppression")
    by_id = {message.id: message for message in read(number)}
    assert by_id[first].status == "sent"
    assert (by_id[second].status, by_id[second].attempt) == ("queued", 0)
    assert by_id[second].available_at > now() + timedelta(seconds=30)
    assert (by_id[third].status, by_id[third].error_code) == ("blocked", "facts_unreadable")
