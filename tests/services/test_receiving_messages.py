"""What a contact's message does to contact, conversation and thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import factories
from tests.services.provider_calls import (
    ANA,
    all_of,
    call_states,
    change,
    echo,
    every_example,
    make_number,
    message,
    one_of,
    set_on,
    take_in,
)
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.tenancy import as_organization

pytestmark = pytest.mark.usefixtures("app_context")


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture
def organization(app_context: None) -> m.Organization:
    return factories.make_organization()


@pytest.fixture
def number(organization: m.Organization) -> m.ChannelAccount:
    return make_number(organization)


def test_a_first_message_makes_contact_conversation_and_message(organization: Any, number: Any) -> None:
    team = factories.make_team(organization)
    set_on(m.ChannelAccount, organization, team_id=team.id)
    take_in(message("¿Tienen rojo?", at=1750300100))
    conversation = one_of(m.Conversation, organization)
    assert conversation.last_preview == "¿Tienen rojo?" and conversation.last_direction == "in"
    assert conversation.unread_count == 1 and conversation.status == "open" and conversation.team_id == team.id
    assert conversation.last_inbound_at == conversation.waiting_since == moment(1750300100)
    assert conversation.window_expires_at == moment(1750300100) + timedelta(hours=24)
    identity, contact = one_of(m.ContactIdentity, organization), one_of(m.Contact, organization)
    assert (identity.wa_id, identity.canonical, identity.phone) == (ANA, ANA, f"+{ANA}")
    assert (contact.name, contact.name_folded, contact.country) == ("Ana", "ana", "CO")
    stored = one_of(m.Message, organization)
    assert (stored.direction, stored.status, stored.text, stored.author_kind) == ("in", "received", "¿Tienen rojo?", "contact")
    assert call_states() == {"done": 1}


def test_every_example_is_stored_shown_or_knowingly_kept(organization: Any, number: Any) -> None:
    examples = every_example()
    take_in(*(body for _name, body in examples))
    states = call_states()
    assert sum(states.values()) == len(examples)
    # The published ones of another business account and the ticks of messages we never sent are kept and said so.
    assert "claimed" not in states and "waiting" not in states
    assert states.get("unreadable", 0) == 1  # other_object.json is no call of WhatsApp
    kinds = {row.kind for row in all_of(m.Message, organization)}
    assert {"text", "image", "reaction", "contacts", "location", "order", "choice", "system", "unsupported", "audio"} <= kinds
    assert all_of(m.AccountNotice, organization) and all_of(m.Attachment, organization)


def test_a_free_entry_point_opens_72_hours_and_a_later_message_does_not_shorten_it(organization: Any, number: Any) -> None:
    take_in(
        message(at=1750300000, referral={"source_type": "ad", "source_id": "1", "source_url": "https://fb.me/x"}),
        message(at=1750303600),
    )
    assert one_of(m.Conversation, organization).window_expires_at == moment(1750300000) + timedelta(hours=72)


def test_mexican_argentine_and_brazilian_spellings_are_one_contact(organization: Any, number: Any) -> None:
    pairs = [("5215512345678", "525512345678"), ("5491123456789", "541123456789"), ("5511987654321", "551187654321")]
    for one, other in pairs:
        take_in(message(sender=one, at=1750300000), message(sender=other, at=1750300001))
    assert len(all_of(m.Contact, organization)) == len(all_of(m.Conversation, organization)) == 3
    by_wa_id = {row.wa_id: row.aliases for row in all_of(m.ContactIdentity, organization)}
    assert by_wa_id == {other: [one] for one, other in pairs}  # the id the provider gave last, verbatim


def test_a_person_without_a_phone_is_known_by_the_user_id_and_later_joined_with_the_phone(organization: Any, number: Any) -> None:
    take_in(message("sin número", sender="", user_id="CO.1", at=1750300000))
    take_in(message("con número", sender=ANA, at=1750300010, name="Ana G"))
    assert len(all_of(m.Conversation, organization)) == 2
    take_in(message("los dos", sender=ANA, user_id="CO.1", at=1750300020))
    conversation, identity = one_of(m.Conversation, organization), one_of(m.ContactIdentity, organization)
    assert (identity.wa_id, identity.user_id) == (ANA, "CO.1") and conversation.unread_count == 3
    assert [row.text for row in all_of(m.Message, organization, m.Message.at)] == ["sin número", "con número", "los dos"]
    keep = next(row for row in all_of(m.Contact, organization) if row.merged_into_id is None)
    (signpost,) = [row for row in all_of(m.Contact, organization) if row.merged_into_id]
    assert signpost.merged_into_id == keep.id == conversation.contact_id
    actions = {row.action for row in all_of(m.AuditEvent, organization)}
    assert {"contact.merged", "conversation.folded"} <= actions


def test_a_changed_number_stays_the_same_person_and_answers_go_to_the_new_one(organization: Any, number: Any) -> None:
    moved = {"body": "changed", "wa_id": "573009999999", "type": "user_changed_number"}
    take_in(message(at=1750300000), message(at=1750300050, name="", type="system", system=moved))
    conversation = one_of(m.Conversation, organization)
    identities = {row.id: row.wa_id for row in all_of(m.ContactIdentity, organization)}
    assert identities[conversation.identity_id] == "573009999999" and len(identities) == 2
    assert conversation.unread_count == 1


def test_the_name_is_the_profile_name_until_one_of_ours_gives_another(organization: Any, number: Any) -> None:
    from whatalker import access
    from whatalker.services import contacting

    take_in(message(name="Ana", at=1750300000), message(name="Ána Gómez", at=1750300010), message(name="Old", at=1750290000))
    assert one_of(m.Contact, organization).name == "Ána Gómez"
    actor = access.system("test", organization.id)
    with transaction(), as_organization(organization.id):
        contacting.rename(actor, session.query(m.Contact).one(), "Señora Gómez")
    take_in(message(name="Ana again", at=1750300020))
    contact = one_of(m.Contact, organization)
    assert (contact.name, contact.name_folded) == ("Señora Gómez", "senora gomez")


def test_a_message_opens_a_resolved_or_snoozed_conversation_again(organization: Any, number: Any) -> None:
    take_in(message(at=1750300000))
    for status in ("resolved", "snoozed"):
        set_on(m.Conversation, organization, status=status, waiting_since=None)
        take_in(message(at=1750300500))
        assert one_of(m.Conversation, organization).status == "open"
        assert one_of(m.Conversation, organization).waiting_since is not None
    assert [row.action for row in all_of(m.AuditEvent, organization)].count("conversation.reopened") == 2


def test_the_same_call_again_changes_nothing(organization: Any, number: Any) -> None:
    call = message(at=1750300000)
    take_in(call)
    set_on(m.Conversation, organization, status="resolved", unread_count=0)
    take_in(call, call)
    conversation = one_of(m.Conversation, organization)
    assert (conversation.status, conversation.unread_count) == ("resolved", 0)
    assert len(all_of(m.Message, organization)) == 1


def test_an_echo_of_the_business_app_is_an_answer_of_ours(organization: Any, number: Any) -> None:
    take_in(message(at=1750300100), echo("Ya te respondo", at=1750300150))
    conversation = one_of(m.Conversation, organization)
    assert (conversation.last_preview, conversation.last_direction, conversation.waiting_since) == ("Ya te respondo", "out", None)
    (answer,) = [row for row in all_of(m.Message, organization) if row.direction == "out"]
    assert answer.status == "sent" and answer.sent_at == moment(1750300150)
    take_in(message("Gracias", at=1750300200))
    assert one_of(m.Conversation, organization).waiting_since == moment(1750300200)


@pytest.mark.parametrize("late_target", [False, True])
def test_edits_and_deletions_by_the_contact_apply_in_any_order(organization: Any, number: Any, late_target: bool) -> None:
    first = message("el azul", id="wamid.T", at=1750300000)
    new_words = {"original_message_id": "wamid.T", "message": {"type": "text", "text": {"body": "el rojo"}}}
    edit = message(at=1750300010, id="wamid.E", type="edit", edit=new_words)
    take_in(*((edit, first) if late_target else (first, edit)), batch=1)
    (target,) = [row for row in all_of(m.Message, organization) if row.provider_id == "wamid.T"]
    assert target.text == "el rojo" and target.content["original"] == {"text": "el azul"}
    take_in(message(at=1750300020, id="wamid.D", type="revoke", revoke={"original_message_id": "wamid.T"}))
    (target,) = [row for row in all_of(m.Message, organization) if row.provider_id == "wamid.T"]
    assert (target.text, target.content, target.removed_at) == ("", {}, moment(1750300020))
    assert not [row.text for row in all_of(m.Message, organization) if row.text]
    assert one_of(m.Conversation, organization).unread_count == 1


def test_another_contact_cannot_edit_or_delete_somebody_elses_message(organization: Any, number: Any) -> None:
    take_in(message("mine", id="wamid.T"))
    take_in(message(sender="573007777777", id="wamid.D", type="revoke", revoke={"original_message_id": "wamid.T"}))
    (target,) = [row for row in all_of(m.Message, organization) if row.provider_id == "wamid.T"]
    assert target.text == "mine" and target.removed_at is None


def test_a_file_is_wanted_and_the_bell_for_it_is_rung(organization: Any, number: Any) -> None:
    from whatalker.queues import DEFAULT, queue

    image = {"id": "1234567890", "mime_type": "image/jpeg", "sha256": "x", "caption": "mira"}
    take_in(message(type="image", image=image))
    file = one_of(m.Attachment, organization)
    assert (file.state, file.kind, file.provider_media_id) == ("wanted", "image", "1234567890")
    assert one_of(m.Conversation, organization).last_preview == "📷 mira"
    assert [job.args for job in queue(DEFAULT).jobs] == [[str(organization.id)]]


def test_an_unknown_number_is_kept_as_unrouted_and_can_be_tried_again(organization: Any) -> None:
    from whatalker.jobs.intake import intake
    from whatalker.services import collecting

    take_in(message())
    assert call_states() == {"unrouted": 1} and not all_of(m.Message, organization)
    make_number(organization)
    with transaction():
        calls = session.query(m.WebhookCall).all()
        assert "not connected" in calls[0].note
        assert collecting.retry_calls([call.id for call in calls]) == 1
    intake()
    assert call_states() == {"done": 1} and len(all_of(m.Message, organization)) == 1


def test_the_number_decides_the_organization_and_nothing_else_does(organization: Any, number: Any) -> None:
    other = factories.make_organization()
    theirs = make_number(other, external_id="999000111222333")
    take_in(message("ours"), message("theirs", number=theirs.external_id))
    assert [row.text for row in all_of(m.Message, organization)] == ["ours"]
    assert [row.text for row in all_of(m.Message, other)] == ["theirs"]


def test_news_nobody_reads_becomes_a_notice(organization: Any, number: Any) -> None:
    take_in(change({"something": "new"}, "field_of_next_year"))
    notice = one_of(m.AccountNotice, organization)
    assert (notice.field, notice.understood, notice.payload) == ("field_of_next_year", False, {"something": "new"})
