"""Lists, searches and threads: every row once, in order, and only to those who may see it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from tests import factories
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import db, now, session, transaction
from whatalker.errors import Invalid
from whatalker.services import framing, listing, noting, reading, searching
from whatalker.services.listing import Filters
from whatalker.tenancy import as_organization

pytestmark = pytest.mark.usefixtures("app_context")


def within(actor: Actor) -> Any:
    assert actor.organization_id is not None
    return as_organization(actor.organization_id, actor.user_id)


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The statements that read or write, without those that set the scope."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "set_config" not in statement:
            seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def ids_of(actor: Actor, filters: Filters) -> list[uuid.UUID]:
    """Every page of a list, one after the other."""
    found, after = [], None
    while True:
        page = listing.list_conversations(actor, filters, after)
        found += [row.conversation.id for row in page.rows]
        assert len(page.rows) <= listing.PAGE
        if page.next is None:
            return found
        after = page.next


@pytest.mark.parametrize("sort", listing.SORTS)
def test_pages_hold_every_conversation_once_in_order(people: factories.People, sort: listing.Sort) -> None:
    account = factories.make_channel_account(people.organization)
    moment = now()
    made = {}
    for number in range(113):
        expires = None if number % 7 == 0 else moment + timedelta(minutes=(number * 37) % 900 - 200)
        one = factories.make_conversation(
            people.organization, channel_account=account, last_message_at=moment - timedelta(minutes=number % 40),
            waiting_since=None if number % 3 == 0 else moment - timedelta(minutes=number % 17), window_expires_at=expires,
        )  # fmt: skip
        made[one.id] = one
    with transaction(), within(people.owner):
        found = ids_of(people.owner, Filters(tab="all", sort=sort))
    assert len(found) == 113 and set(found) == set(made)
    newest = lambda one: (-one.last_message_at.timestamp(), -one.id.int)  # noqa: E731
    keys = {
        "newest": newest,
        "waiting": lambda one: (0, one.waiting_since.timestamp(), one.id.int) if one.waiting_since else (1, *newest(one)),
        "closing": lambda one: (0, one.window_expires_at.timestamp(), one.id.int)
        if one.window_expires_at and one.window_expires_at > moment else (1, *newest(one)),
    }  # fmt: skip
    assert found == sorted(found, key=lambda id: keys[sort](made[id]))


def test_chips_leave_out_what_they_say(people: factories.People) -> None:
    account, other = factories.make_channel_account(people.organization), factories.make_channel_account(people.organization)
    make = lambda **values: factories.make_conversation(  # noqa: E731
        people.organization, **{"channel_account": account} | values
    ).id
    unread, failed = make(unread_count=2), make(failed_at=now())
    closing, closed = make(window_expires_at=now() + timedelta(minutes=59)), make(window_expires_at=now() - timedelta(minutes=1))
    elsewhere, resolved = make(channel_account=other), make(status="resolved")
    held = factories.make_conversation(people.organization, channel_account=account)
    factories.make_message(held, "out", hold_reason="Quiet hours")
    with transaction(), within(people.owner):
        show = lambda **chips: set(ids_of(people.owner, Filters(tab="all", **chips)))  # noqa: E731
        assert show(unread=True) == {unread}
        assert show(failed=True) == {failed}
        assert show(closing=True) == {closing}
        assert show(held=True) == {held.id}
        assert show(channel_account_id=other.id) == {elsewhere}
        assert show(status="resolved") == {resolved}
        assert resolved not in show() and closed in show()
        assert Filters(unread=True).narrowed and not Filters().narrowed


def test_each_person_has_the_tabs_and_rows_of_their_role(people: factories.People) -> None:
    account = factories.make_channel_account(people.organization)
    team = factories.make_team(people.organization)
    make = lambda **values: factories.make_conversation(people.organization, channel_account=account, **values).id  # noqa: E731
    free, mine = make(), make(assignee_id=people.agent.user_id)
    leads, others = make(assignee_id=people.supervisor.user_id), make(team_id=team.id)
    with transaction(), within(people.agent):
        assert listing.tabs_of(people.agent) == ("mine", "unassigned")
        assert ids_of(people.agent, Filters(tab="mine")) == [mine]
        assert ids_of(people.agent, Filters(tab="unassigned")) == [free]
        assert set(ids_of(people.agent, Filters(tab="all"))) == {free, mine}
        assert listing.count_tabs(people.agent) == {"mine": 1, "unassigned": 1, "unread": 0, "closing": 0}
    with transaction(), within(people.supervisor):
        assert set(ids_of(people.supervisor, Filters(tab="all"))) == {free, mine, leads}
    with transaction(), within(people.owner):
        assert listing.tabs_of(people.owner) == ("mine", "unassigned", "all")
        assert set(ids_of(people.owner, Filters(tab="all"))) == {free, mine, leads, others}
    with transaction(), within(people.stranger):
        assert ids_of(people.stranger, Filters(tab="all")) == []
        assert listing.count_tabs(people.stranger)["all"] == 0


def test_counts_stop_at_a_hundred(people: factories.People) -> None:
    account = factories.make_channel_account(people.organization)
    for _each in range(104):
        factories.make_conversation(people.organization, channel_account=account)
    with transaction(), within(people.owner):
        assert listing.count_tabs(people.owner)["all"] == 100


@pytest.mark.parametrize("key", ["", "x", "AAAA", "é", "WzAsMV0", "a" * 9000, "bnVsbA", "W1tbW1tb"])
def test_a_page_key_of_somebody_elses_making_is_refused(people: factories.People, key: str) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.owner):
        for read in (lambda: listing.list_conversations(people.owner, Filters(tab="all"), key or "="),
                     lambda: reading.read_thread(people.owner, conversation, key or "=")):  # fmt: skip
            with pytest.raises(Invalid):
                read()


def test_a_thread_reads_in_the_providers_order_with_notes_and_happenings_between(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    moment = now() - timedelta(hours=3)
    for number in range(120):
        factories.make_message(conversation, at=moment + timedelta(minutes=number // 2), text=str(number))
    with transaction(), within(people.agent):
        noting.add_note(people.agent, conversation, "Remember the milk")
    texts: list[str] = []
    with transaction(), within(people.agent):
        before, pages = None, 0
        while True:
            thread = reading.read_thread(people.agent, conversation, before)
            texts = [entry.text for entry in thread.entries] + texts
            before, pages = thread.earlier, pages + 1
            if before is None:
                break
    assert pages == 3 and texts == [*map(str, range(120)), "Remember the milk"]


def test_a_reaction_sits_on_its_message_and_the_last_one_counts(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    target = factories.make_message(conversation, "out", provider_id="wamid.OURS", status="sent")
    for emoji in ("👍", "❤️"):
        factories.make_message(
            conversation, kind="reaction", text=emoji, content={"message_id": "wamid.OURS", "emoji": emoji}, reply_to="wamid.OURS"
        )
    with transaction(), within(people.agent):
        (entry,) = reading.read_thread(people.agent, conversation).entries
        assert (entry.id, entry.reactions) == (target.id, (("contact", "❤️"),))
        assert reading.read_entry(people.agent, conversation, target.id).reactions == (("contact", "❤️"),)


def test_a_search_finds_names_digits_and_words_and_nothing_of_others(people: factories.People) -> None:
    account = factories.make_channel_account(people.organization)
    ana = factories.make_contact(people.organization, "573001234918", name="Ana Souza", name_folded="ana souza")
    mine = factories.make_conversation(people.organization, contact=ana, channel_account=account, assignee_id=people.agent.user_id)
    hidden = factories.make_conversation(people.organization, channel_account=account, assignee_id=people.supervisor.user_id)
    factories.make_message(mine, text="Where is my ORDER 50%?")
    factories.make_message(hidden, text="Where is my order?")
    foreign = factories.make_conversation(people.elsewhere)
    factories.make_message(foreign, text="Where is my order?")
    with transaction(), within(people.agent):
        for words in ("ana", "Ana S", "4918"):
            assert [one.id for one in searching.search_conversations(people.agent, words).conversations] == [mine.id]
        assert [one.id for _message, one in searching.search_conversations(people.agent, "order").messages] == [mine.id]
        assert [one.id for _message, one in searching.search_conversations(people.agent, "50%").messages] == [mine.id]
        assert searching.search_conversations(people.agent, "5_%").messages == []
    with transaction(), within(people.supervisor):
        assert len(searching.search_conversations(people.supervisor, "order").messages) == 2


def test_all_three_panes_cost_few_statements(people: factories.People) -> None:
    account = factories.make_channel_account(people.organization)
    conversation = factories.make_conversation(people.organization, channel_account=account)
    for _each in range(30):
        factories.make_conversation(people.organization, channel_account=account)
        factories.make_message(conversation)
    session.expunge_all()
    with transaction(), within(people.agent), counted_statements() as statements:
        frame = framing.frame(people.agent, listing.tab_counts(people.agent))
        listing.list_conversations(people.agent, Filters(tab="unassigned"))
        reading.read_thread(people.agent, conversation)
        reading.beside(people.agent, conversation)
    assert frame.counts["unassigned"] == 31
    assert len(statements) <= 6, statements
    assert m.Conversation.__tablename__ in statements[1]
