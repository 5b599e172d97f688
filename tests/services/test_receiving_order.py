"""The same calls in any order, any number of times, in batches of any size, end in the same state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import factories
from tests.services.provider_calls import (
    ANA,
    all_of,
    call_states,
    due_now,
    echo,
    every_example,
    make_number,
    make_sent,
    message,
    preference,
    take_in,
    tick,
)
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.jobs.intake import intake

LONG_AGO = datetime(2024, 6, 1, tzinfo=UTC)
SPELLINGS = ("5215512345678", "525512345678", ANA)


def fresh_world() -> m.Organization:
    """An organization with the number and one message on its way, under ids that are the same each time."""
    organization = factories.make_organization()
    number = make_number(organization, name="Shop")
    contact = factories.make_contact(organization, "16505551234", name="", name_folded="")
    conversation = factories.make_conversation(
        organization, contact=contact, channel_account=number, last_message_at=LONG_AGO,
        last_preview="wamid.OUT", last_direction="out",
        last_inbound_at=None, window_expires_at=None, waiting_since=None,
    )  # fmt: skip
    for provider_id in ("wamid.OUT", "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI4QjA5RkU2QzVERTkwOTdCQjMA"):  # the examples' ticks
        make_sent(conversation, provider_id, "sending", at=LONG_AGO, text=provider_id, content={"text": provider_id})
    return organization


def clear(organization: m.Organization) -> None:
    """So that the next round can connect the same number."""
    with transaction():
        from whatalker.tenancy import as_organization

        with as_organization(organization.id):
            session.query(m.ChannelAccount).update({"external_id": str(factories.new_id())})
        session.query(m.WebhookCall).delete()


def state_of(organization: m.Organization) -> Any:
    """Everything that the calls decide, in words that do not depend on ids of ours."""
    identities = {row.id: (row.canonical or row.user_id) for row in all_of(m.ContactIdentity, organization)}
    contacts = {row.id: row for row in all_of(m.Contact, organization)}
    threads = {row.id: row for row in all_of(m.Conversation, organization)}
    messages = all_of(m.Message, organization)
    names = {row.id: (row.provider_id, row.kind) for row in messages}
    return {
        "identities": sorted(
            (str(row.canonical), str(row.user_id), str(row.wa_id), str(row.username), sorted(row.aliases),
             contacts[row.contact_id].name, contacts[row.contact_id].name_folded)
            for row in all_of(m.ContactIdentity, organization)
        ),
        "people": sorted(sorted(str(identities[row.id]) for row in all_of(m.ContactIdentity, organization)
                                if row.contact_id == contact.id)
                         for contact in contacts.values() if contact.merged_into_id is None),
        "threads": sorted(
            (str(identities[row.identity_id]), row.status, row.unread_count, str(row.last_message_at), row.last_preview,
             row.last_direction, str(row.last_inbound_at), str(row.window_expires_at), str(row.waiting_since),
             str(row.failed_at), str(row.marketing_stopped_at), row.contact_id in contacts)
            for row in threads.values()
        ),
        "messages": sorted(
            (str(row.provider_id), row.kind, row.direction, row.status, row.text, str(row.content), str(row.at),
             str(row.sent_at), str(row.delivered_at), str(row.read_at), str(row.failed_at), row.error_code, row.error_text,
             str(row.removed_at), str(identities[threads[row.conversation_id].identity_id]))
            for row in messages
        ),
        "events": sorted((row.event_key, row.kind, str(row.at), str(names.get(row.message_id)))
                         for row in all_of(m.MessageEvent, organization) if not row.event_key.startswith("sha")
                         and ":message_" not in row.event_key),
        "suppressions": sorted((row.key, row.purpose, str(row.since), str(row.lifted_at))
                               for row in all_of(m.Suppression, organization)),
        "notices": sorted((row.event_key, row.field, row.understood) for row in all_of(m.AccountNotice, organization)),
        "templates": sorted((row.name, row.language, row.status, row.quality, row.category, str(row.components), row.status_reason)
                            for row in all_of(m.Template, organization)),
        "numbers": sorted((row.quality, row.messaging_limit, row.name, row.state) for row in all_of(m.ChannelAccount, organization)),
        "files": sorted((str(row.provider_media_id), row.kind, row.state) for row in all_of(m.Attachment, organization)),
    }  # fmt: skip


def run_in_world(calls: Sequence[Any], batch: int) -> Any:
    organization = fresh_world()
    take_in(*calls, batch=batch)
    while "parked" in call_states():
        due_now()
        intake()
    state = state_of(organization)
    clear(organization)
    return state


@pytest.mark.usefixtures("app_context")
def test_every_example_shuffled_and_doubled_ends_the_same() -> None:
    calls = [body for _name, body in every_example()]
    expected = run_in_world(calls, 500)
    dice = random.Random(7)
    for batch in (1, 3, 500):
        shuffled = calls * 2
        dice.shuffle(shuffled)
        assert run_in_world(shuffled, batch) == expected


NAMES = st.sampled_from(["", "Ana", "Ána", "Bea"])
TIMES = st.integers(1750300000, 1750300020)
SENDERS = st.sampled_from(SPELLINGS)
def _inbound(n: int, sender: str, at: int, name: str, ad: bool) -> dict[str, Any]:
    parts: dict[str, Any] = {"referral": {"source_type": "ad"}} if ad else {}
    return message(f"words {n}", sender=sender, at=at, name=name, id=f"wamid.IN{n}", **parts)


def _amend(n: int, target: int, sender: str, at: int, delete: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"original_message_id": f"wamid.IN{target}"}
    new_words = {"message": {"type": "text", "text": {"body": f"edit {n}"}}}
    parts: dict[str, Any] = {"type": "revoke", "revoke": about} if delete else {"type": "edit", "edit": about | new_words}
    return message(sender=sender, at=at, id=f"wamid.AM{n}", name="", **parts)


INBOUND = st.builds(_inbound, st.integers(0, 50), SENDERS, TIMES, NAMES, st.booleans())
ECHOES = st.builds(lambda n, to, at: echo(f"echo {n}", to=to, at=at, id=f"wamid.EC{n}"), st.integers(0, 20), SENDERS, TIMES)
AMENDS = st.builds(_amend, st.integers(0, 20), st.integers(0, 50), SENDERS, TIMES, st.booleans())
TICKS = st.builds(
    lambda status, at: tick("wamid.OUT", status, 1750300000, recipient="16505551234", errors=[{"code": 131026, "title": "x"}])
    if status == "failed" else tick("wamid.OUT", status, at),
    st.sampled_from(["sent", "delivered", "read", "failed"]), st.just(1750300005),
)  # fmt: skip
WISHES = st.builds(preference, st.sampled_from(["stop", "resume"]), TIMES, SENDERS)


def _one_of_each_id(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A provider never gives one id to two messages of a kind with different words; the generator might."""
    seen: dict[str, dict[str, Any]] = {}
    for call in calls:
        value = call["entry"][0]["changes"][0]["value"]
        raw = (value.get("messages") or value.get("message_echoes") or [{}])[0]
        seen.setdefault(str(raw.get("id") or call), call)
    return list(seen.values())


CALLS = st.lists(st.one_of(INBOUND, INBOUND, ECHOES, AMENDS, TICKS, WISHES), min_size=2, max_size=12).map(_one_of_each_id)


@pytest.mark.usefixtures("app")
@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(calls=CALLS, seed=st.randoms(use_true_random=False), batch=st.sampled_from([1, 2, 5, 100]))
def test_any_sequence_shuffled_and_doubled_ends_the_same(app: Flask, calls: list[Any], seed: Any, batch: int) -> None:
    with app.app_context():
        expected = run_in_world(calls, 100)
        shuffled = calls * 2
        seed.shuffle(shuffled)
        assert run_in_world(shuffled, batch) == expected


@pytest.mark.usefixtures("app_context")
def test_ids_known_apart_are_joined_in_any_order() -> None:
    calls = [
        message("a", sender="", user_id="CO.1", at=1750300000, name="Ana"),
        message("b", sender=ANA, at=1750300010, name="Bea"),
        message("c", sender=ANA, user_id="CO.1", at=1750300020, name="Cira"),
        message("d", sender="", user_id="CO.1", at=1750300030, name=""),
    ]
    expected = run_in_world(calls, 500)
    assert len(expected["people"]) == 2  # the one we had written to, and this one
    dice = random.Random(3)
    for batch in (1, 1, 2, 2, 3, 500):
        shuffled = calls * 2
        dice.shuffle(shuffled)
        assert run_in_world(shuffled, batch) == expected
