"""A provider that refuses, breaks, hangs and lies, as a real process: refusals are tried again, doubts are never guessed away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests import factories
from tests.services import provider_calls
from tests.services.outbox import (
    decisions,
    inside,
    make_conversations,
    make_number,
    make_waiting,
    read,
    run_outbox,
    timeline,
)
from tests.services.sandboxes import PHONE_NUMBER_ID, TOKEN, WABA, Provider, sandbox
from whatalker import models as m
from whatalker.db import now, session
from whatalker.jobs import upkeep

pytestmark = pytest.mark.usefixtures("app_context")


@pytest.fixture(scope="module")
def process() -> Iterator[Provider]:
    with sandbox() as running:
        yield running


@pytest.fixture
def provider(process: Provider, app: Flask, monkeypatch: pytest.MonkeyPatch) -> Provider:
    process.ask("POST", "/_sandbox/reset", {})
    process.ask("DELETE", "/_sandbox/faults")
    process.behaves(window="off")
    for name, value in {
        "WHATSAPP_API_BASE": f"{process.address}/v23.0", "CLAIM_LEASE_SECONDS": 3, "SENDING_LEASE_SECONDS": 3,
        "UNKNOWN_WAIT_SECONDS": 2,
    }.items():  # fmt: skip
        monkeypatch.setitem(app.config, name, value)
    return process


@pytest.fixture
def number(provider: Provider, people: factories.People, app_context: None) -> m.ChannelAccount:
    return make_number(
        people.organization, channel="whatsapp", external_id=PHONE_NUMBER_ID, business_id=WABA,
        credentials={"access_token": TOKEN},
    )  # fmt: skip


def hurry(number: m.ChannelAccount) -> None:
    """As if the time that messages wait for had passed."""
    with inside(number):
        session.execute(
            update(m.Message).where(m.Message.status == "queued").values(available_at=now() - timedelta(seconds=1))
        )
        session.execute(
            update(m.Message).where(m.Message.status.in_(("claimed", "sending", "unknown")), m.Message.claimed_until.is_not(None))
            .values(claimed_until=now() - timedelta(seconds=1))
        )  # fmt: skip


def keys(provider: Provider) -> list[str]:
    return [entry["key"] for entry in provider.accepted()]


def test_what_reaches_the_provider_is_what_was_written(provider: Provider, number: m.ChannelAccount) -> None:
    [conversation] = make_conversations(number, 1)
    [id] = make_waiting([conversation])
    run_outbox(number)
    [message] = read(number, id)
    [taken] = provider.accepted()
    assert (message.status, message.provider_id) == ("sent", taken["wamid"])
    assert (taken["key"], taken["body"]["text"]["body"]) == (f"{id}:1", "Hello")


def test_too_many_requests_are_tried_again_after_their_wait_and_slow_the_number_down(
    provider: Provider, number: m.ChannelAccount
) -> None:
    from whatalker.services.pacing import Pace

    provider.faults(next=[{"do": "rate_429", "times": 1}])
    [id] = make_waiting(make_conversations(number, 1))
    run_outbox(number)
    [message] = read(number, id)
    assert (message.status, message.error_code) == ("queued", "130429")
    assert now() < message.available_at < now() + timedelta(seconds=70)
    assert message.hold_reason
    pace = Pace.of(number.id, 100)
    assert 46 <= pace.room("interactive", 1000) <= 55
    hurry(number)
    run_outbox(number)
    [message] = read(number, id)
    assert (message.status, message.attempt, message.error_code, message.hold_reason) == ("sent", 2, "", "")
    assert timeline(number, id) == ["sending", "refused", "sending", "accepted"]
    assert keys(provider) == [f"{id}:2"]


def test_a_refusal_that_stays_ends_as_failed_after_the_tries_of_its_class(provider: Provider, number: m.ChannelAccount) -> None:
    [id] = make_waiting(make_conversations(number, 1))
    provider.faults(next=[{"do": "code", "code": 4, "times": 50}])
    for _ in range(8):
        run_outbox(number)
        hurry(number)
    [message] = read(number, id)
    assert (message.status, message.error_code, message.attempt) == ("failed", "4", 6)
    assert keys(provider) == []


def test_a_permanent_refusal_fails_at_once_with_its_code(provider: Provider, number: m.ChannelAccount) -> None:
    [conversation] = make_conversations(number, 1)
    provider.faults(next=[{"do": "code", "code": 131026, "times": 1}])
    [id] = make_waiting([conversation])
    run_outbox(number)
    [message] = read(number, id)
    assert (message.status, message.error_code, message.attempt) == ("failed", "131026", 1)
    with inside(number):
        again = session.scalars(
            select(m.Conversation).where(m.Conversation.id == conversation.id).execution_options(populate_existing=True)
        ).one()
        assert again.failed_at is not None


def test_an_expired_token_stops_the_number_and_its_messages_wait(provider: Provider, number: m.ChannelAccount) -> None:
    first, second = make_conversations(number, 2)
    provider.faults(next=[{"do": "code", "code": 190, "times": 1}])
    [one] = make_waiting([first])
    run_outbox(number)
    [two] = make_waiting([second])
    run_outbox(number)
    assert [(x.status, bool(x.hold_reason)) for x in read(number, one, two)] == [("queued", True), ("queued", True)]
    with inside(number):
        account = session.scalars(select(m.ChannelAccount).execution_options(populate_existing=True)).one()
        assert account.state == "needs_reauth"
        account.state = "active"
    hurry(number)
    run_outbox(number)
    assert {message.status for message in read(number)} == {"sent"}


def test_a_person_who_stopped_marketing_is_not_written_to_again(provider: Provider, number: m.ChannelAccount, people: Any) -> None:
    template = factories.make_template(people.organization, number, name="hello_world", category="MARKETING")
    content = {"name": "hello_world", "language": "en_US", "header": None, "body": [], "buttons": []}
    values = {"kind": "template", "content": content, "purpose": "marketing", "template_id": template.id, "lane": "bulk"}
    [conversation] = make_conversations(number, 1)
    provider.faults(next=[{"do": "code", "code": 131050, "times": 1}])
    [one] = make_waiting([conversation], **values)
    run_outbox(number, "bulk")
    [two] = make_waiting([conversation], **values)
    run_outbox(number, "bulk")
    assert [(x.status, x.error_code) for x in read(number, one, two)] == [("failed", "131050"), ("blocked", "suppressed")]
    assert keys(provider) == []


@pytest.mark.parametrize("fault", ["error_before", "error_after", "reset_before", "reset_after", "malformed", "hang", "hang_after"])
def test_without_an_answer_the_outcome_is_unknown(provider: Provider, number: m.ChannelAccount, fault: str) -> None:
    provider.faults(hang_ms=20_000, next=[{"do": fault, "times": 1}])
    [id] = make_waiting(make_conversations(number, 1))
    begun = time.monotonic()
    run_outbox(number)
    [message] = read(number, id)
    assert message.status == "unknown", message.error_code
    assert message.claimed_until is not None
    assert time.monotonic() - begun < 4
    assert timeline(number, id) == ["sending", "unknown"]


def test_an_unknown_reply_is_sent_again_once_no_webhook_is_left_unread(provider: Provider, number: m.ChannelAccount) -> None:
    provider.faults(next=[{"do": "error_before", "times": 1}])
    [id] = make_waiting(make_conversations(number, 1))
    run_outbox(number)
    with inside(number):
        session.add(m.WebhookCall(provider="whatsapp", body=b"{}", received_at=now() - timedelta(seconds=5)))
    hurry(number)
    upkeep.recover_messages()
    assert read(number, id)[0].status == "unknown", "a webhook that nobody has read may be about it"
    with inside(number):
        session.execute(update(m.WebhookCall).values(state="done"))
    upkeep.recover_messages()
    run_outbox(number)
    assert (read(number, id)[0].status, keys(provider)) == ("sent", [f"{id}:2"])
    assert timeline(number, id) == ["sending", "unknown", "resent", "sending", "accepted"]


def test_a_webhook_settles_an_unknown_reply_and_it_is_not_sent_again(provider: Provider, number: m.ChannelAccount) -> None:
    provider.faults(next=[{"do": "reset_after", "times": 1}])
    [id] = make_waiting(make_conversations(number, 1))
    run_outbox(number)
    [taken] = provider.accepted()
    provider_calls.take_in(provider_calls.tick(taken["wamid"], "delivered", key=taken["key"]))
    hurry(number)
    upkeep.recover_messages()
    run_outbox(number)
    [message] = read(number, id)
    assert (message.status, message.provider_id, keys(provider)) == ("delivered", taken["wamid"], [f"{id}:1"])


def test_unknown_marketing_is_never_sent_again(provider: Provider, number: m.ChannelAccount, people: Any) -> None:
    template = factories.make_template(people.organization, number, name="hello_world", category="MARKETING")
    content = {"name": "hello_world", "language": "en_US", "header": None, "body": [], "buttons": []}
    provider.faults(next=[{"do": "error_before", "times": 1}])
    # Called transactional by whoever wrote it: the template knows better.
    [id] = make_waiting(
        make_conversations(number, 1), kind="template", content=content, purpose="transactional", template_id=template.id
    )
    run_outbox(number)
    for _ in range(3):
        hurry(number)
        upkeep.recover_messages()
        run_outbox(number)
    [message] = read(number, id)
    assert (message.status, message.claimed_until, keys(provider)) == ("unknown", None, [])


def test_a_call_that_never_ended_becomes_unknown_and_a_claim_goes_back(provider: Provider, number: m.ChannelAccount) -> None:
    """What a killed worker leaves behind."""
    from whatalker.services import claiming, deciding, gating

    make_waiting(make_conversations(number, 2))
    with inside(number):
        claimed = claiming.claim(number.id, number.organization_id, "interactive", 2, now())
        rulings = deciding.decide_and_store(claimed, now())
    with inside(number):
        [attempt] = gating.open_gate(rulings[:1], now())
    upkeep.recover_messages()
    assert [message.status for message in read(number)] == ["sending", "claimed"]
    hurry(number)
    upkeep.recover_messages()
    assert [message.status for message in read(number)] == ["unknown", "queued"]
    assert timeline(number, attempt.message.id) == ["sending", "unknown"]


def test_an_answer_that_comes_after_the_doubt_is_still_recorded(provider: Provider, number: m.ChannelAccount) -> None:
    from whatalker.channels import Receipt
    from whatalker.services import claiming, deciding, gating, settling
    from whatalker.services.sending import Outcome

    [id] = make_waiting(make_conversations(number, 1))
    with inside(number):
        claimed = claiming.claim(number.id, number.organization_id, "interactive", 2, now())
        rulings = deciding.decide_and_store(claimed, now())
    with inside(number):
        [attempt] = gating.open_gate(rulings, now())
    for _ in range(2):
        hurry(number)
        upkeep.recover_messages()
    assert read(number, id)[0].status == "queued"
    with inside(number):
        settling.settle(number, [Outcome(attempt, now(), receipt=Receipt(provider_id="wamid.LATE"))])
    run_outbox(number)
    assert (read(number, id)[0].status, read(number, id)[0].provider_id, keys(provider)) == ("sent", "wamid.LATE", [])


def test_a_tick_that_is_faster_than_the_answer_is_not_undone(provider: Provider, number: m.ChannelAccount) -> None:
    from whatalker.channels import Receipt
    from whatalker.services import claiming, deciding, gating, settling
    from whatalker.services.sending import Outcome

    [id] = make_waiting(make_conversations(number, 1))
    with inside(number):
        rulings = deciding.decide_and_store(claiming.claim(number.id, number.organization_id, "interactive", 2, now()), now())
    with inside(number):
        [attempt] = gating.open_gate(rulings, now())
    provider_calls.take_in(provider_calls.tick("wamid.FAST", "read", key=attempt.outgoing.key))
    with inside(number):
        settling.settle(number, [Outcome(attempt, now(), receipt=Receipt(provider_id="wamid.FAST"))])
    assert (read(number, id)[0].status, read(number, id)[0].provider_id) == ("read", "wamid.FAST")


def test_deadlines_pass_while_a_message_waits(provider: Provider, number: m.ChannelAccount) -> None:
    [id] = make_waiting(make_conversations(number, 1), not_after=now() - timedelta(seconds=1))
    upkeep.recover_messages()
    assert (read(number, id)[0].status, timeline(number, id)) == ("expired", ["expired"])


def test_many_faults_at_once_lose_nothing(provider: Provider, number: m.ChannelAccount) -> None:
    provider.faults(
        seed=7, rate_429=0.1, error_before=0.05, error_after=0.05, reset_before=0.05, reset_after=0.05, malformed=0.05,
        hang=0.01, hang_ms=1_000,
    )  # fmt: skip
    ids = make_waiting(make_conversations(number, 300))
    for _ in range(15):
        run_outbox(number)
        hurry(number)
        upkeep.recover_messages()
    statuses = {message.id: message.status for message in read(number)}
    assert set(statuses.values()) <= {"sent", "unknown", "queued", "failed"}
    attempts = {entry["key"] for entry in provider.accepted()}
    assert len(attempts) == len(provider.accepted()), "one attempt reached the provider twice"
    reached = {key.split(":")[0] for key in attempts}
    assert {str(id) for id in ids if statuses[id] == "sent"} <= reached
    assert all(decision.verdict == "allow" for decision in decisions(number))
