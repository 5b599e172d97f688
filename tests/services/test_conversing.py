"""What people do with conversations: faster and slower colleagues, snoozes, labels, notes, drafts."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests import factories
from whatalker import models as m
from whatalker.access import Actor, system
from whatalker.db import now, session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.services import conversing, noting, reading
from whatalker.tenancy import across, as_organization


def within(actor: Actor) -> Any:
    assert actor.organization_id is not None
    return as_organization(actor.organization_id, actor.user_id)


def audited(organization: m.Organization, action: str) -> int:
    with transaction(), as_organization(organization.id):
        return session.scalar(select(func.count()).select_from(m.AuditEvent).where(m.AuditEvent.action == action)) or 0


@pytest.mark.usefixtures("app_context")
def test_the_slower_of_two_is_told_who_was_faster(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.supervisor):
        conversing.assign(people.supervisor, conversation, people.supervisor.user_id, expected=None)
    with transaction(), within(people.agent), pytest.raises(Conflict, match=r"Already taken by Supervisor \d+ s ago"):
        conversing.assign(people.agent, conversation, people.agent.user_id, expected=None)
    assert audited(people.organization, "conversation.assigned") == 1


@pytest.mark.usefixtures("app_context")
def test_the_same_wish_twice_is_one_change(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    for _again in range(2):
        with transaction(), within(people.agent):
            conversing.assign(people.agent, conversation, people.agent.user_id, expected=None)
    assert audited(people.organization, "conversation.assigned") == 1


@pytest.mark.usefixtures("app_context")
def test_nobody_can_be_given_a_conversation_they_could_not_read(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    developer = factories.make_member(people.organization, "developer")
    for unfit in (developer.user_id, people.stranger.user_id):
        with transaction(), within(people.owner), pytest.raises(Invalid):
            conversing.assign(people.owner, conversation, unfit, expected=None)


def test_fifty_who_take_the_next_one_at_once_get_fifty_different_ones(app: Flask) -> None:
    with app.app_context():
        people = factories.make_people()
        account = factories.make_channel_account(people.organization)
        for minutes in range(50):
            waiting = now() - timedelta(minutes=minutes)
            factories.make_conversation(people.organization, channel_account=account, waiting_since=waiting)
        takers = [factories.make_member(people.organization, "agent", (people.team,)) for _each in range(5)]
    taken: list[uuid.UUID | None] = []
    start = threading.Barrier(10)

    def take(actor: Actor) -> None:
        start.wait()
        for _each in range(5):
            with app.app_context(), transaction(), within(actor):
                taken.append(conversing.take_next(actor))

    threads = [threading.Thread(target=take, args=(taker,)) for taker in takers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with app.app_context(), transaction(), within(takers[0]):
        taken += [conversing.take_next(takers[0]) for _rest in range(taken.count(None))]
        assert conversing.take_next(takers[0]) is None
    ids = [one for one in taken if one]
    assert len(ids) == len(set(ids)) == 50
    with app.app_context():
        assert audited(people.organization, "conversation.taken") == 50


@pytest.mark.usefixtures("app_context")
def test_the_next_one_is_who_waits_longest_among_those_one_may_see(people: factories.People) -> None:
    account = factories.make_channel_account(people.organization)
    elsewhere = factories.make_team(people.organization)
    make = lambda **values: factories.make_conversation(people.organization, channel_account=account, **values)  # noqa: E731
    make(waiting_since=factories.moments_ago(hours=9), team_id=elsewhere.id)
    longest = make(waiting_since=factories.moments_ago(hours=3))
    make(waiting_since=factories.moments_ago(hours=1))
    with transaction(), within(people.agent):
        assert conversing.take_next(people.agent) == longest.id


@pytest.mark.usefixtures("app_context")
def test_a_snoozed_one_wakes_when_its_time_has_come_and_not_before(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.agent):
        conversing.snooze(people.agent, conversation, now() + timedelta(milliseconds=150))
    upkeep = system("upkeep", people.organization.id)
    with transaction(), within(upkeep):
        assert conversing.wake_snoozed(upkeep) == 0
    threading.Event().wait(0.2)
    with transaction(), across("upkeep: wake the snoozed"):
        assert conversing.organizations_to_wake() == [people.organization.id]
    with transaction(), within(upkeep):
        assert conversing.wake_snoozed(upkeep) == 1
        assert conversing.wake_snoozed(upkeep) == 0
        session.refresh(conversation)
        assert (conversation.status, conversation.snoozed_until) == ("open", None)


@pytest.mark.usefixtures("app_context")
@pytest.mark.parametrize("ago", [timedelta(minutes=1), timedelta(days=-400)])
def test_a_snooze_ends_in_the_future_and_within_a_year(people: factories.People, ago: timedelta) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.agent), pytest.raises(Invalid):
        conversing.snooze(people.agent, conversation, now() - ago)


@pytest.mark.usefixtures("app_context")
def test_reopening_puts_a_contact_who_had_the_last_word_back_into_the_queue(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.agent):
        conversing.resolve(people.agent, conversation)
        assert conversation.waiting_since is None
        conversing.reopen(people.agent, conversation)
        assert conversation.waiting_since == conversation.last_inbound_at


@pytest.mark.usefixtures("app_context")
def test_a_viewer_who_looks_leaves_it_unread_and_changes_nothing(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization, unread_count=3)
    viewer = factories.make_member(people.organization, "viewer", (people.team,))
    with transaction(), within(viewer):
        assert conversing.mark_seen(viewer, conversation) is False
        for act in (conversing.resolve, conversing.mark_unread, conversing.reopen):
            with pytest.raises(NotAllowed):
                act(viewer, conversation)
        with pytest.raises(NotAllowed):
            noting.add_note(viewer, conversation, "Hello")
    with transaction(), within(people.agent):
        assert conversing.mark_seen(people.agent, conversation) is True
        assert conversing.mark_seen(people.agent, conversation) is False


@pytest.mark.usefixtures("app_context")
def test_a_draft_is_ones_own_and_keeps_its_message_id_until_it_is_sent(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    with transaction(), within(people.agent):
        first = noting.save_draft(people.agent, conversation, "Hel").client_message_id
        assert noting.save_draft(people.agent, conversation, "Hello\x00\ud800").client_message_id == first
    with transaction(), within(people.supervisor):
        assert noting.draft_of(people.supervisor, conversation) is None
    with transaction(), within(people.agent):
        draft = noting.draft_of(people.agent, conversation)
        assert draft and draft.text == "Hello?"
        noting.drop_draft(people.agent, conversation)
        assert noting.save_draft(people.agent, conversation, "Next").client_message_id != first


@pytest.mark.usefixtures("app_context")
def test_canned_replies_are_found_by_shortcut_first_and_say_what_is_left_to_fill_in(people: factories.People) -> None:
    contact = factories.make_contact(people.organization, name="Ana Souza")
    conversation = factories.make_conversation(people.organization, contact=contact)
    for shortcut, text in (("hi", "Hello {{contact.first_name}}"), ("bye", "Goodbye, hi"), ("ship", "Order {{order.id}} {{ agent.name }}")):
        factories._add(m.CannedReply(organization_id=people.organization.id, shortcut=shortcut, text=text), people.organization.id)
    with transaction(), within(people.agent):
        conversation = conversing.open_conversation(people.agent, conversation.id)
        found = noting.find_canned(people.agent, conversation, "/hi")
        assert [(one.shortcut, one.text) for one in found] == [("hi", "Hello Ana"), ("bye", "Goodbye, hi")]
        (ship,) = noting.find_canned(people.agent, conversation, "ship")
        assert (ship.text, ship.unresolved) == ("Order {{order.id}} Agent", ("order.id",))
        assert noting.find_canned(people.agent, conversation, "%_") == []


@pytest.mark.usefixtures("app_context")
def test_who_can_see_it_is_answered_by_the_function_that_shows_it(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization, assignee_id=people.supervisor.user_id)
    with transaction(), within(people.owner):
        seen = {str(member.user): sees for member, sees in reading.who_can_see(people.owner, conversation)}
    assert seen == {"Owner": True, "Supervisor": True, "Agent": False}


@pytest.mark.usefixtures("app_context")
def test_labels_come_and_go_once_and_another_organizations_label_is_not_there(people: factories.People) -> None:
    conversation = factories.make_conversation(people.organization)
    label = factories._add(m.Label(organization_id=people.organization.id, name="VIP"), people.organization.id)
    foreign = factories._add(m.Label(organization_id=people.elsewhere.id, name="VIP"), people.elsewhere.id)
    with transaction(), within(people.agent):
        conversing.add_label(people.agent, conversation, label.id)
        conversing.add_label(people.agent, conversation, label.id)
        assert reading.beside(people.agent, conversation).label_ids == [label.id]
        with pytest.raises(NotFound):
            conversing.add_label(people.agent, conversation, foreign.id)
        conversing.remove_label(people.agent, conversation, label.id)
        assert reading.beside(people.agent, conversation).label_ids == []
    assert audited(people.organization, "conversation.labelled") == 1
