"""Contacts: found under every spelling, merged without loss, searched without being revealed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests import factories
from tests.services.provider_calls import all_of, make_number, set_on
from whatalker import access, phones
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import now, session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed
from whatalker.services import contacting
from whatalker.services.contacting import Person
from whatalker.tenancy import as_organization

pytestmark = pytest.mark.usefixtures("app_context")


@pytest.fixture
def organization(app_context: None) -> m.Organization:
    return factories.make_organization()


def actor_of(organization: m.Organization) -> Actor:
    return access.system("test", organization.id)


def found(organization: m.Organization, words: str, actor: Actor | None = None) -> list[str]:
    with transaction(), as_organization(organization.id):
        return sorted(contact.name for contact in contacting.search(actor or actor_of(organization), words))


def test_every_spelling_finds_the_one_identity(organization: Any) -> None:
    spellings = ["5215512345678", "525512345678", "5491123456789", "541123456789", "5511987654321", "551187654321"]
    with transaction(), as_organization(organization.id):
        people = [Person(wa_id=wa_id, at=now()) for wa_id in spellings]
        first = [known.contact_id for known in contacting.find_or_create(actor_of(organization), people)]
        again = [known.contact_id for known in contacting.find_or_create(actor_of(organization), people)]
    assert first == again and first[0::2] == first[1::2] and len(set(first)) == 3


def test_ids_that_are_no_numbers_are_kept_verbatim_and_apart(organization: Any) -> None:
    odd = ["abc", "abd", "1", "x" * 300, "x" * 301, "😀"]
    with transaction(), as_organization(organization.id):
        contacting.find_or_create(actor_of(organization), [Person(wa_id=id, at=now()) for id in odd])
    stored = {row.wa_id for row in all_of(m.ContactIdentity, organization)}
    assert len(stored) == 6 and {"abc", "abd", "1", "😀"} < stored


def test_search_finds_by_name_prefix_last_digits_and_whole_ids_only(organization: Any) -> None:
    for name, digits in (("Ángela Núñez", "573001234918"), ("Angel", "525512345678"), ("Zoë", "5511987654321")):
        factories.make_contact(organization, digits, name=name, name_folded=contacting.fold_name(name))
    assert found(organization, "ange") == ["Angel", "Ángela Núñez"]
    assert found(organization, "ÁNGELA N") == ["Ángela Núñez"]
    assert found(organization, "4918") == ["Ángela Núñez"]
    assert found(organization, "+52 1 55 1234 5678") == ["Angel"]
    assert found(organization, "551187654321") == ["Zoë"]
    for part in ("5730012", "300123", "491", "%", "_ngel", "' or 1=1", "\0"):
        assert found(organization, part) in ([], found(organization, "")), part
    assert found(organization, "5730012") == []


def test_search_shows_nothing_to_who_may_not_and_nothing_of_others(organization: Any) -> None:
    factories.make_contact(organization, name="Ana", name_folded="ana")
    developer = factories.make_member(organization, "developer")
    assert found(organization, "ana", developer) == []
    elsewhere = factories.make_organization()
    assert found(elsewhere, "ana") == []


def merge_two(organization: m.Organization, **drop_values: Any) -> tuple[m.Contact, m.Contact, m.ChannelAccount]:
    number = make_number(organization)
    keep = factories.make_contact(organization, "573001111111", name="Keep")
    drop = factories.make_contact(organization, "573002222222", name="Drop", **drop_values)
    for contact, words in ((keep, "from keep"), (drop, "from drop")):
        thread = factories.make_conversation(organization, contact=contact, channel_account=number, unread_count=2)
        at = datetime(2026, 1, 1 if contact is keep else 2, tzinfo=UTC)
        factories.make_message(thread, text=words, content={"text": words}, at=at)
        user = factories.make_user()
        with transaction(), as_organization(organization.id):
            session.add(m.Note(organization_id=organization.id, conversation_id=thread.id, author_id=user.id, text=words))
            session.add(m.Draft(organization_id=organization.id, conversation_id=thread.id, user_id=user.id, text=words))
    other = make_number(organization, external_id="222222222222222")
    factories.make_message(factories.make_conversation(organization, contact=drop, channel_account=other))
    with transaction(), as_organization(organization.id):
        session.expunge_all()
        contacts = {contact.id: contact for contact in session.query(m.Contact)}
        contacting.merge(actor_of(organization), contacts[keep.id], contacts[drop.id], "the same person, they said so")
    return keep, drop, number


def test_merging_moves_identities_threads_notes_and_drafts(organization: Any) -> None:
    keep, drop, number = merge_two(organization, email="drop@example.com", blocked_at=now())
    threads = all_of(m.Conversation, organization)
    assert {thread.contact_id for thread in threads} == {keep.id} and len(threads) == 2
    (folded,) = [thread for thread in threads if thread.channel_account_id == number.id]
    assert folded.unread_count == 4 and folded.last_preview == "from drop"
    messages = all_of(m.Message, organization)
    assert {message.contact_id for message in messages} == {keep.id} and len(messages) == 3
    assert {note.conversation_id for note in all_of(m.Note, organization)} == {folded.id}
    assert len(all_of(m.Draft, organization)) == 2
    assert {row.contact_id for row in all_of(m.ContactIdentity, organization)} == {keep.id}
    rows = {row.id: row for row in all_of(m.Contact, organization)}
    assert rows[drop.id].merged_into_id == keep.id and rows[keep.id].merged_into_id is None
    assert rows[keep.id].email == "drop@example.com" and rows[keep.id].blocked_at is not None
    lines = [row for row in all_of(m.AuditEvent, organization) if row.action == "contact.merged"]
    assert {row.object_id for row in lines} == {str(keep.id), str(drop.id)}
    assert lines[0].reason == "the same person, they said so"
    assert found(organization, "drop") == []


def test_what_either_of_them_stopped_stays_stopped(organization: Any) -> None:
    number = make_number(organization)
    keep, drop = factories.make_contact(organization, "573001111111"), factories.make_contact(organization, "573002222222")
    for contact in (keep, drop):
        factories.make_conversation(organization, contact=contact, channel_account=number)
    with transaction(), as_organization(organization.id):
        session.add(m.Suppression(organization_id=organization.id, channel="whatsapp", key="573002222222", source="agent", since=now()))
    with transaction(), as_organization(organization.id):
        session.expunge_all()
        contacts = {contact.id: contact for contact in session.query(m.Contact)}
        contacting.merge(actor_of(organization), contacts[keep.id], contacts[drop.id], "same")
    assert len(all_of(m.Suppression, organization)) == 1
    (thread,) = all_of(m.Conversation, organization)
    assert thread.marketing_stopped_at is not None


def test_merging_is_refused_without_right_or_reason_and_for_signposts(organization: Any) -> None:
    one, two, three = (factories.make_contact(organization) for _ in range(3))
    agent = factories.make_member(organization, "agent")
    with transaction(), as_organization(organization.id):
        with pytest.raises(NotAllowed):
            contacting.merge(agent, one, two, "same")
        for pair, reason, fault in (((one, one), "same", Invalid), ((one, two), " ", Invalid)):
            with pytest.raises(fault):
                contacting.merge(actor_of(organization), *pair, reason)
    set_on(m.Contact, organization, merged_into_id=three.id)
    with transaction(), as_organization(organization.id):
        rows = list(session.query(m.Contact))
        with pytest.raises(Conflict):
            contacting.merge(actor_of(organization), rows[0], rows[1], "same")


def test_adding_by_hand_finds_the_contact_that_is_there(organization: Any) -> None:
    with transaction(), as_organization(organization.id):
        contact = contacting.add_contact(actor_of(organization), "+52 1 55 1234 5678", "  Ana   Gómez ")
        assert (contact.name, contact.name_folded) == ("Ana Gómez", "ana gomez")
        with pytest.raises(Conflict):
            contacting.add_contact(actor_of(organization), "525512345678")
        with pytest.raises(Invalid):
            contacting.add_contact(actor_of(organization), "12")


def test_names_are_masked_where_there_is_none(organization: Any) -> None:
    contact = m.Contact(name="")
    assert contacting.display_name(contact, m.ContactIdentity(wa_id="573001234918", phone="+573001234918")) == phones.masked("573001234918")
    assert contacting.display_name(contact, m.ContactIdentity(user_id="CO.13491208655302741918")).endswith("…1918")
    assert contacting.display_name(contact, m.ContactIdentity(user_id="CO.1", username="ana.gomez")) == "ana.gomez"
