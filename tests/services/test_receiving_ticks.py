"""What the provider says became of our messages, and what a failure means for people and numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests import factories
from tests.services.provider_calls import (
    ANA,
    all_of,
    call_states,
    change,
    due_now,
    example,
    make_number,
    make_sent,
    message,
    one_of,
    preference,
    set_on,
    take_in,
    tick,
)
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.services.collecting import PATIENCE

pytestmark = pytest.mark.usefixtures("app_context")


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture
def conversation(app_context: None) -> m.Conversation:
    organization = factories.make_organization()
    number = make_number(organization)
    contact = factories.make_contact(organization, ANA)
    return factories.make_conversation(organization, contact=contact, channel_account=number)


def sent_message(conversation: m.Conversation) -> m.Message:
    (found,) = [row for row in all_of(m.Message, conversation.organization_id) if row.direction == "out"]
    return found


def test_ticks_raise_the_message_and_write_its_timeline_with_the_providers_time(conversation: Any) -> None:
    make_sent(conversation, "wamid.A")
    take_in(tick("wamid.A", "sent", 1750300001), tick("wamid.A", "delivered", 1750300002), tick("wamid.A", "read", 1750300003))
    found = sent_message(conversation)
    assert (found.status, found.sent_at, found.delivered_at, found.read_at) == (
        "read", moment(1750300001), moment(1750300002), moment(1750300003),
    )  # fmt: skip
    events = all_of(m.MessageEvent, conversation.organization_id, m.MessageEvent.at)
    assert [(row.kind, row.at) for row in events] == [
        ("sent", moment(1750300001)), ("delivered", moment(1750300002)), ("read", moment(1750300003)),
    ]  # fmt: skip


def test_a_late_tick_only_joins_the_timeline(conversation: Any) -> None:
    make_sent(conversation, "wamid.A")
    take_in(tick("wamid.A", "read"), tick("wamid.A", "sent"), tick("wamid.A", "sent"), batch=1)
    assert sent_message(conversation).status == "read"
    assert len(all_of(m.MessageEvent, conversation.organization_id)) == 2


def test_our_key_settles_an_unknown_message_whose_provider_id_was_never_recorded(conversation: Any) -> None:
    lost = make_sent(conversation, None, "unknown")
    take_in(tick("wamid.LOST", "delivered", key=f"{lost.id}:1"))
    found = sent_message(conversation)
    assert (found.status, found.provider_id) == ("delivered", "wamid.LOST")
    take_in(tick("wamid.LOST", "read"))
    assert sent_message(conversation).status == "read"


def test_the_failure_of_an_earlier_attempt_says_nothing_about_the_present_one(conversation: Any) -> None:
    again = make_sent(conversation, "wamid.SECOND", "sent", attempt=2)
    error = [{"code": 131026, "title": "Message undeliverable"}]
    take_in(tick("wamid.FIRST", "failed", key=f"{again.id}:1", errors=error))
    assert sent_message(conversation).status == "sent"
    take_in(tick("wamid.SECOND", "failed", key=f"{again.id}:2", errors=error))
    assert sent_message(conversation).status == "failed"


def test_a_failure_of_a_message_that_is_queued_again_waits_for_it(conversation: Any) -> None:
    again = make_sent(conversation, None, "queued")
    take_in(tick("wamid.A", "failed", key=f"{again.id}:1", errors=[{"code": 131026, "title": "Message undeliverable"}]))
    assert call_states() == {"parked": 1} and sent_message(conversation).status == "queued"


def test_a_message_that_is_queued_again_and_turns_out_to_have_arrived_is_not_sent_again(conversation: Any) -> None:
    again = make_sent(conversation, None, "queued")
    take_in(tick("wamid.A", "delivered", key=f"{again.id}:1"))
    assert call_states() == {"done": 1} and sent_message(conversation).status == "delivered"


def test_ticks_that_come_before_their_message_are_parked_and_applied_later(conversation: Any) -> None:
    from whatalker.jobs.intake import intake

    take_in(tick("wamid.EARLY", "delivered"))
    assert call_states() == {"parked": 1}
    make_sent(conversation, "wamid.EARLY")
    intake()
    assert sent_message(conversation).status == "sent"  # its time has not come yet
    due_now()
    intake()
    assert sent_message(conversation).status == "delivered" and call_states() == {"done": 1}


def test_a_tick_for_a_message_we_never_sent_is_kept_after_some_patience(conversation: Any) -> None:
    from whatalker.jobs.intake import intake

    take_in(tick("wamid.NEVER", "delivered"))
    for _try in PATIENCE:
        due_now()
        intake()
    assert call_states() == {"unrouted": 1}
    with transaction():
        assert "wamid.NEVER" in session.query(m.WebhookCall).one().note


def test_a_failure_says_why_and_marks_the_conversation(conversation: Any) -> None:
    make_sent(conversation, "wamid.A", at=moment(1750300150))
    details = {"details": "Message failed to send because more than 24 hours have passed."}
    error = {"code": 131047, "title": "Re-engagement message", "error_data": details}
    take_in(tick("wamid.A", "failed", 1750300160, errors=[error]))
    found = sent_message(conversation)
    assert (found.status, found.error_code, found.failed_at) == ("failed", "131047", moment(1750300160))
    assert "24 hours" in found.error_text
    assert one_of(m.Conversation, conversation).failed_at == moment(1750300160)


def test_delivered_after_failed_on_another_device_is_delivered_in_any_order(conversation: Any) -> None:
    for first, second in (("failed", "delivered"), ("delivered", "failed")):
        name = f"wamid.{first}"
        make_sent(conversation, name)
        take_in(tick(name, first, errors=[{"code": 131026}]), tick(name, second, errors=[{"code": 131026}]), batch=1)
    found = [row for row in all_of(m.Message, conversation.organization_id) if row.direction == "out"]
    assert {(row.status, row.error_code, row.failed_at) for row in found} == {("delivered", "", None)}
    assert one_of(m.Conversation, conversation).failed_at is None


def test_a_tick_from_another_number_or_organization_touches_nothing(conversation: Any) -> None:
    make_sent(conversation, "wamid.A")
    other = factories.make_organization()
    make_number(other, external_id="999000111222333")
    own_other = make_number(factories.make_organization(), external_id="999000111222444")
    take_in(tick("wamid.A", "read", number="999000111222333"), tick("wamid.A", "read", number=own_other.external_id))
    mine = sent_message(conversation)
    take_in(tick("wamid.X", "read", number="999000111222333", key=f"{mine.id}:1"))
    assert sent_message(conversation).status == "sent" and not all_of(m.MessageEvent, conversation.organization_id)
    assert call_states() == {"parked": 3}


def test_a_code_that_stops_the_number_stops_it_once(conversation: Any) -> None:
    make_sent(conversation, "wamid.A")
    call = tick("wamid.A", "failed", errors=[{"code": 131031, "title": "Account has been locked"}])
    take_in(call)
    assert one_of(m.ChannelAccount, conversation).state == "stopped"
    set_on(m.ChannelAccount, conversation, state="active")
    take_in(call)
    assert one_of(m.ChannelAccount, conversation).state == "active"  # an old call again does not stop it


def test_stopping_marketing_suppresses_and_resuming_lifts_whatever_comes_first(conversation: Any) -> None:
    calls = [preference("stop", 1750300000), preference("resume", 1750300100), preference("stop", 1750300200)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0, 1, 0)):
        set_on(m.Conversation, conversation, marketing_stopped_at=None)
        with transaction():
            from whatalker.tenancy import as_organization

            with as_organization(conversation.organization_id):
                session.query(m.Suppression).delete()
        take_in(*(calls[n] for n in order), batch=1)
        stops = [row for row in all_of(m.Suppression, conversation.organization_id) if row.lifted_at != row.since]
        assert sorted((row.since, row.lifted_at) for row in stops if row.lifted_at) == [(moment(1750300000), moment(1750300100))]
        assert [row.since for row in stops if row.lifted_at is None] == [moment(1750300200)]
        assert one_of(m.Conversation, conversation).marketing_stopped_at == moment(1750300200)


def test_a_marketing_refusal_by_the_provider_is_a_stop(conversation: Any) -> None:
    make_sent(conversation, "wamid.A")
    take_in(tick("wamid.A", "failed", errors=[{"code": 131050}]))
    suppression = one_of(m.Suppression, conversation)
    assert (suppression.key, suppression.source, suppression.lifted_at) == (ANA, "provider_error", None)
    assert one_of(m.Conversation, conversation).marketing_stopped_at


def test_a_stop_before_the_first_message_marks_the_new_conversation(conversation: Any) -> None:
    take_in(preference("stop", 1750300000, wa_id="5215512345678"), message(sender="525512345678"))
    threads = all_of(m.Conversation, conversation.organization_id, m.Conversation.created_at)
    assert [row.marketing_stopped_at for row in threads] == [None, moment(1750300000)]


def test_template_news_changes_the_template_and_old_news_does_not(conversation: Any) -> None:
    names = ["template_approved", "template_quality", "template_category", "template_components"]
    take_in(*map(example, names))
    template = one_of(m.Template, conversation)
    assert (template.name, template.status, template.quality, template.category) == (
        "order_update", "APPROVED", "YELLOW", "MARKETING",
    )  # fmt: skip
    assert template.components[0]["text"] == "Order {{1}} is on its way."
    older = example("template_rejected")
    older["entry"][0]["time"] = 1750200000
    take_in(older)
    assert one_of(m.Template, conversation).status == "APPROVED"
    newer = example("template_paused")
    newer["entry"][0]["time"] = 1750400000
    take_in(newer)
    paused = one_of(m.Template, conversation)
    assert paused.status == "PAUSED" and "low quality" in paused.status_reason
    assert len(all_of(m.AccountNotice, conversation.organization_id)) == 6


def test_number_news_changes_quality_limit_and_name(conversation: Any) -> None:
    take_in(*map(example, ["number_flagged", "number_limit_raised", "number_name", "account_alert", "security"]))
    number = one_of(m.ChannelAccount, conversation)
    assert (number.quality, number.messaging_limit, number.name) == ("RED", "TIER_10K", "Jasper's Market")
    assert len(all_of(m.AccountNotice, conversation.organization_id)) == 5


def test_a_banned_account_stops_all_its_numbers_and_a_reinstated_one_goes_on(conversation: Any) -> None:
    make_number(m.Organization(id=conversation.organization_id), external_id="106540352242923")

    def ban(state: str, at: int) -> dict[str, Any]:
        call = change({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}}, "account_update")
        call["entry"][0]["time"] = at
        return call

    def states() -> set[str]:
        return {row.state for row in all_of(m.ChannelAccount, conversation.organization_id)}

    take_in(ban("DISABLE", 1750300000))
    assert states() == {"stopped"}
    take_in(ban("REINSTATE", 1750300100), ban("DISABLE", 1750300000))
    assert states() == {"active"}
