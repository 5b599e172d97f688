"""The rules one by one, their boundaries and their precedence: a table of facts and the answer a compliance officer expects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatalker.policies import CODES, READINGS, RULES, Facts, decide
from whatalker.policies.destination import form_of
from whatalker.policies.pace import PAIR_BURST

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND, TICK = timedelta(seconds=1), timedelta(microseconds=1)


def facts(**values: Any) -> Facts:
    """A reply in an open window, which every rule lets pass."""
    return Facts(**{"at": AT, "window_expires_at": AT + timedelta(hours=1)} | values)


def template(**values: Any) -> Facts:
    usual = {"kind": "template", "purpose": "transactional", "template_status": "APPROVED", "template_category": "UTILITY"}
    return facts(**{"window_expires_at": None} | usual | values)


def marketing(**values: Any) -> Facts:
    return template(**{"purpose": "marketing", "template_category": "MARKETING"} | values)


STOPPED = {"suppressed_purposes": frozenset({"marketing"}), "suppressed_since": AT, "suppression_source": "user_preferences"}

CASES = [
    ("a reply in an open window", facts(), "allowed"),
    ("an approved template outside the window", template(), "allowed"),
    ("marketing by an approved template", marketing(), "allowed"),
    ("a suspended organization", facts(organization_standing="suspended"), "org_suspended"),
    ("a suspension past its announced end", facts(organization_standing="suspended", organization_standing_until=AT - SECOND),
     "org_suspended"),
    ("a cancelled organization", facts(organization_standing="cancelled"), "org_cancelled"),
    ("an organization not approved yet", facts(organization_standing="pending"), "org_pending"),
    ("a standing nobody knows", facts(organization_standing="new_word"), "org_suspended"),
    ("an author who left", facts(author_active=False), "user_inactive"),
    ("a campaign whose author left", facts(author_kind="campaign", author_active=False), "allowed"),
    ("a stopped number", facts(number_state="stopped"), "number_stopped"),
    ("a number without a valid token", facts(number_state="needs_reauth"), "number_needs_reauth"),
    ("a number beyond the plan", facts(number_state="read_only"), "plan_limit"),
    ("a disconnected number", facts(number_state="disconnected"), "number_disconnected"),
    ("a state nobody knows", facts(number_state="new_word"), "number_disconnected"),
    ("nobody to send to", facts(recipient=""), "destination_missing"),
    ("a malformed number", facts(recipient="malformed"), "destination_invalid"),
    ("a business-scoped id", facts(recipient="user_id"), "allowed"),
    ("a login code to a business-scoped id", template(recipient="user_id", template_category="AUTHENTICATION"),
     "template_needs_phone"),
    ("a blocked contact", facts(recipient_blocked=True), "contact_blocked"),
    ("nothing in it", facts(has_content=False), "content_empty"),
    ("the last moment of the window", facts(window_expires_at=AT + TICK), "allowed"),
    ("the very end of the window", facts(window_expires_at=AT), "window_closed"),
    ("a moment after the window", facts(window_expires_at=AT - TICK), "window_closed"),
    ("a contact who never wrote", facts(window_expires_at=None), "window_never_opened"),
    ("e-mail, which has no window", facts(window_expires_at=None, channel="email"), "allowed"),
    ("a paused template", template(template_status="PAUSED"), "template_not_approved"),
    ("a rejected template inside the window", template(template_status="REJECTED", window_expires_at=AT + SECOND),
     "template_not_approved"),
    ("a template that is gone", template(template_status=""), "template_not_approved"),
    ("marketing after a stop", marketing(**STOPPED), "suppressed"),
    ("a marketing template called transactional, after a stop", template(template_category="MARKETING", **STOPPED), "suppressed"),
    ("a utility template after a stop to marketing", template(**STOPPED), "allowed"),
    ("a reply after a stop to marketing", facts(**STOPPED), "allowed"),
    ("a reply after a stop to everything", facts(suppressed_purposes=frozenset({"all"})), "suppressed"),
    ("one below the burst", facts(recent_to_pair=PAIR_BURST - 1, pair_free_at=AT + SECOND), "allowed"),
    ("a full pair", facts(recent_to_pair=PAIR_BURST, pair_free_at=AT + SECOND), "pair_rate"),
    ("a full pair at the moment it is free", facts(recent_to_pair=PAIR_BURST, pair_free_at=AT), "allowed"),
    ("marketing that cannot be checked", marketing(unreadable=frozenset({"suppression"})), "facts_unreadable"),
    ("a utility template that cannot be checked", template(unreadable=frozenset({"suppression"})), "facts_unreadable"),
    ("a reply in the window that cannot be checked", facts(unreadable=frozenset({"suppression", "pace"})), "allowed"),
    ("a reply whose window cannot be checked", facts(unreadable=frozenset({"window"})), "facts_unreadable"),
    ("a reply to somebody who cannot be read", facts(unreadable=frozenset({"recipient"})), "facts_unreadable"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "known", "code"), CASES, ids=[case[0] for case in CASES])
def test_each_case_gets_its_code(case: str, known: Facts, code: str) -> None:
    assert decide(known).code == code


def test_every_code_is_answered_by_some_case_and_no_other_exists() -> None:
    assert {code for _case, _facts, code in CASES} - {"allowed"} == set(CODES)


def test_what_an_admin_can_mend_waits_and_what_is_over_is_refused() -> None:
    answers = {state: decide(facts(number_state=state)).verdict for state in ("stopped", "needs_reauth", "read_only")}
    assert answers == {"stopped": "defer", "needs_reauth": "defer", "read_only": "deny"}


def test_a_full_pair_waits_until_it_is_free() -> None:
    decision = decide(facts(recent_to_pair=PAIR_BURST, pair_free_at=AT + 7 * SECOND))
    assert (decision.verdict, decision.not_before) == ("defer", AT + 7 * SECOND)


def test_of_two_reasons_to_wait_the_later_counts() -> None:
    known = template(unreadable=frozenset({"suppression"}), recent_to_pair=PAIR_BURST, pair_free_at=AT + timedelta(minutes=5))
    assert decide(known).not_before == AT + timedelta(minutes=5)


def test_a_rule_whose_facts_failed_is_not_asked() -> None:
    unread = decide(facts(unreadable=frozenset({"standing"}), organization_standing="suspended"))
    assert {verdict.rule: verdict.code for verdict in unread.trace}["standing"] == "not_asked"


def test_emergency_numbers_are_never_a_destination() -> None:
    for number in ("911", "112", "190", "+911", "066", "123", "0911123"):
        assert form_of(number, None) == "malformed"
    assert form_of("573001234567", None) == form_of("+5491123456789", "US.1349") == "phone"
    assert (form_of(None, "US.1349"), form_of("", None)) == ("user_id", "")


some_facts = st.builds(
    Facts,
    at=st.just(AT),
    purpose=st.sampled_from(["marketing", "transactional", "service_reply", "authentication"]),
    kind=st.sampled_from(["text", "template", "image"]),
    has_content=st.booleans(),
    organization_standing=st.sampled_from(["active", "active", "suspended", "pending", "cancelled"]),
    author_active=st.booleans(),
    number_state=st.sampled_from(["active", "active", "stopped", "needs_reauth", "read_only", "disconnected"]),
    recipient=st.sampled_from(["phone", "phone", "user_id", "malformed", ""]),
    recipient_blocked=st.booleans(),
    window_expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    template_status=st.sampled_from(["", "APPROVED", "APPROVED", "PAUSED"]),
    template_category=st.sampled_from(["", "MARKETING", "UTILITY", "AUTHENTICATION"]),
    suppressed_purposes=st.frozensets(st.sampled_from(["marketing", "all"])),
    recent_to_pair=st.integers(0, 100),
    pair_free_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    unreadable=st.frozensets(st.sampled_from(sorted(READINGS))),
)


@given(some_facts)
def test_any_deny_wins_over_any_defer_over_any_allow(known: Facts) -> None:
    decision = decide(known)
    answers = [verdict.answer for verdict in decision.trace]
    assert len(answers) == len(RULES)
    assert decision.verdict == ("deny" if "deny" in answers else "defer" if "defer" in answers else "allow")
    assert (decision.code in CODES) == (decision.verdict != "allow")


@given(some_facts)
def test_stored_facts_give_the_same_decision_and_hash(known: Facts) -> None:
    again = Facts.from_json(known.to_json())
    assert again == known
    assert decide(again) == decide(known)
    assert decide(again).trace_hash == decide(known).trace_hash


@given(some_facts)
def test_what_cannot_be_checked_lets_only_replies_through(known: Facts) -> None:
    if known.unreadable and decide(known).allowed:
        assert known.kind != "template"
        assert known.purpose == "service_reply"
        assert known.window_expires_at is not None and known.at < known.window_expires_at


def test_an_unknown_fact_is_never_ignored() -> None:
    with pytest.raises(TypeError):
        Facts.from_json({"at": AT.isoformat(), "favourite_colour": "green"})
