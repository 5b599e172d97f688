"""The catalogue of provider errors: every row decides, says what to do in three languages, and unknown codes are safe."""

from __future__ import annotations

import csv
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatalker.channels.provider_codes import LANGUAGES, ErrorFact, catalogue, explain, load

TEXT = resources.files("whatalker.channels").joinpath("provider_errors.csv").read_text("utf-8")
ROWS = list(csv.DictReader(TEXT.splitlines()))
FACTS = catalogue()


@pytest.mark.parametrize("key", FACTS, ids=":".join)
def test_every_row_has_its_sentences_and_a_decision(key: tuple[str, str]) -> None:
    fact = FACTS[key]
    for language in LANGUAGES:
        assert 20 < len(fact.agent_text[language]) < 220
        assert fact.agent_text[language].endswith(".")
    assert len({fact.agent_text[language] for language in LANGUAGES}) == 3
    assert fact.retry == (fact.message == "retry") == (len(fact.waits) > 0 and fact.message == "retry")
    assert fact.meaning and fact.known


def test_the_data_file_covers_every_provider_and_ours() -> None:
    assert {provider for provider, _code in FACTS} == {"meta", "twilio", "webpush", "sendgrid", "network", "whatalker"}
    assert sum(row["provider"] == "meta" for row in ROWS) == 50
    assert len(ROWS) == 112


@pytest.mark.parametrize(("code", "waits"), [
    (1, (60, 120, 240)), (131000, (60, 120, 240)), (4, (300, 600, 1200, 2400, 4800)), (131056, (6, 24, 96, 384, 1536)),
    (130429, (1, 2, 4, 8, 16, 32, 64, 128)), (131057, (600, 1200, 2400, 4800, 9600)),
])  # fmt: skip
def test_what_passes_is_tried_again_after_its_waits(code: int, waits: tuple[int, ...]) -> None:
    fact = explain("meta", code)
    assert (fact.retry, fact.waits) == (True, waits)


@pytest.mark.parametrize("code", [
    0, 10, 33, 100, 190, 200, 299, 368, 130472, 131026, 131047, 131048, 131049, 131050, 131051, 131062, 132000, 132001, 132012, 471,
])  # fmt: skip
def test_what_does_not_pass_is_not_tried_again(code: int) -> None:
    assert not explain("meta", code).retry


@pytest.mark.parametrize(("code", "message", "number", "account"), [
    (190, "hold", True, False), (0, "hold", True, False), (368, "hold", True, True), (131031, "hold", True, True),
    (131042, "hold", True, True), (131037, "hold", True, False), (133010, "hold", True, False), (131047, "fail", False, False),
    (131026, "fail", False, False), (131050, "fail", False, False), (130429, "retry", False, False), (471, "hold", False, False),
])  # fmt: skip
def test_a_number_stops_only_where_nothing_more_can_leave(code: int, message: str, number: bool, account: bool) -> None:
    fact = explain("meta", code)
    assert (fact.message, fact.stops_number, fact.stops_account) == (message, number, account)


@pytest.mark.parametrize(("code", "text"), [
    ("131047", "The 24-hour window is closed. Send a template."),
    ("131026", "WhatsApp could not deliver to this person (no WhatsApp, old app, or terms not accepted)."),
    ("131049", "WhatsApp limits marketing to this person now. Try after 24 h."),
    ("131062", "Login-code templates need a phone number. Ask the person for it first."),
    ("190", "The WhatsApp connection expired. An admin must reconnect the number; waiting messages go out after that."),
])  # fmt: skip
def test_the_agent_reads_the_sentence_of_the_inbox_document(code: str, text: str) -> None:
    assert explain("meta", code).text("en") == text


@pytest.mark.parametrize("code", [
    "consent_missing", "suppressed", "quiet_hours", "frequency_cap", "content_block", "content_review", "org_suspended",
    "plan_limit", "terms_required", "emergency_number", "integration_terms_not_accepted",
])  # fmt: skip
def test_our_own_refusals_have_sentences_too(code: str) -> None:
    fact = explain("whatalker", code)
    assert fact.known and fact.class_ == "policy" and not fact.retry


def test_the_second_marketing_wait_is_for_a_person_to_decide() -> None:
    fact = explain("meta", 131049)
    assert (fact.retry, fact.waits) == (False, (86_400,))
    assert explain("meta", 131050).action == "stop_marketing"


def test_what_the_provider_said_stands_beside_our_sentence_where_it_helps() -> None:
    text = explain("meta", 132012).text("es_CO", details="Header expects a document.", reference="AbCd")
    assert text.startswith("Los valores no corresponden") and "Header expects a document." in text and "AbCd" in text
    assert explain("meta", 131050).text("pt", details="secret") == explain("meta", 131050).agent_text["pt"]
    assert explain("meta", 131047).text("fr") == explain("meta", 131047).agent_text["en"]


def test_an_unlisted_code_shows_title_code_and_reference_and_is_not_retried() -> None:
    fact = explain("meta", 999_999, title="Something new", reference="AbCd")
    assert not fact.known and not fact.retry and not fact.stops_number
    for language in LANGUAGES:
        assert all(part in fact.agent_text[language] for part in ("Something new", "999999", "AbCd"))


@pytest.mark.parametrize(("status", "transient", "retry"), [(400, False, False), (404, False, False), (429, False, True), (503, False, True), (400, True, True)])  # fmt: skip
def test_an_unlisted_code_is_retried_only_where_it_will_pass(status: int, transient: bool, retry: bool) -> None:
    fact = explain("meta", 999_999, http_status=status, transient=transient)
    assert fact.retry == retry and bool(fact.waits) == retry


def test_a_family_of_codes_is_found_by_its_http_class() -> None:
    assert explain("webpush", 502, http_status=502).code == "5xx"
    assert explain("sendgrid", 403).code == "403" and explain("meta", 234).class_ == "config"


def test_a_network_fault_is_explained_for_every_provider() -> None:
    assert explain("meta", "timeout").message == "check"
    assert explain("twilio", "no_connection").retry


@given(st.text(), st.none() | st.text() | st.integers(), st.text(), st.none() | st.integers(0, 999))
def test_explaining_never_fails(provider: str, code: str | int | None, title: str, status: int | None) -> None:
    fact = explain(provider, code, title=title, http_status=status)
    assert isinstance(fact, ErrorFact) and all(fact.agent_text[language] for language in LANGUAGES)


HEAD = TEXT.splitlines()[0]
GOOD = 'x,1,meaning,rate,yes,60,2,3,retry,none,nobody,wait,own,"Try later.","Luego.","Depois."'


def test_a_good_row_is_read() -> None:
    assert load(f"{HEAD}\n{GOOD}")["x", "1"].waits == (60, 120, 240)


@pytest.mark.parametrize(("old", "new"), [
    ("rate", "mood"), ("yes", "perhaps"), ("yes", "no"), (",60,", ",soon,"), (",60,", ",,"), (",60,2,3,", ",60,2,99,"),
    ("retry,none", "retry,explode"), ("nobody", "mother"), ("Luego.", "Luego"), ("Depois.", ""), ("x,1,", ",1,"), ("x,1,", "x,,"),
    (",60,2,3,", ",60,0.5,3,"),
])  # fmt: skip
def test_a_bad_row_is_named_by_its_line(old: str, new: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        load(f"{HEAD}\n{GOOD.replace(old, new, 1)}")


def test_a_code_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="line 3"):
        load(f"{HEAD}\n{GOOD}\n{GOOD}")
