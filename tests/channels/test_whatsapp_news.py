"""Webhook bodies become news: every example, every status, unknown things kept, and no JSON value breaks it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.channels.published_api import faults
from whatalker.channels import Incoming, News, NumberChange, Preference, TemplateChange, Tick, Unsupported
from whatalker.channels.whatsapp import WhatsApp

FOLDER = Path(__file__).parent / "webhook_examples"
EXAMPLES: dict[str, Any] = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PUBLISHED = [name for name in EXAMPLES if name.startswith("published_")]
ACCOUNT = "106540352242922"
parse = WhatsApp().parse


def one(name: str) -> Any:
    (news,) = parse(EXAMPLES[name])
    return news


def storable(news: Iterable[News]) -> None:
    """As PostgreSQL takes it: strict JSON without NUL, text that encodes, aware moments, keys that fit a column."""
    for item in news:
        fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        for name, value in fields.items():
            if isinstance(value, datetime):
                assert value.tzinfo is not None and value.year >= 2009
                fields[name] = value.isoformat()
        text = json.dumps(fields, allow_nan=False, ensure_ascii=False)
        text.encode()
        assert "\\u0000" not in text and "\0" not in text
        assert isinstance(item.event_key, str) and 0 < len(item.event_key) <= 200
        for name in ("account", "provider_id", "wa_id", "user_id", "key", "provider_template_id"):
            assert len(fields.get(name) or "") <= 160


def test_there_are_the_sixteen_published_examples() -> None:
    assert len(PUBLISHED) == 16


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_example_fits_the_repaired_description(name: str) -> None:
    assert faults("WebhookPayload", EXAMPLES[name]) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_becomes_news_that_can_be_stored(name: str) -> None:
    news = parse(EXAMPLES[name])
    assert news
    storable(news)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_body_again_has_the_same_keys(name: str) -> None:
    again = json.loads(json.dumps(EXAMPLES[name], sort_keys=True))
    assert [item.event_key for item in parse(EXAMPLES[name])] == [item.event_key for item in parse(again)]


def test_no_two_published_examples_share_a_key_although_four_share_a_message_id() -> None:
    keys = [item.event_key for name in PUBLISHED for item in parse(EXAMPLES[name])]
    assert len(set(keys)) == len(keys) == 16


@pytest.mark.parametrize(("name", "kind", "text"), [
    ("published_text_message", "text", "Does it come in another color?"),
    ("published_text_message_with_context_product_inquiry", "text", "Is this still available?"),
    ("published_text_message_from_click_to_whatsapp_ad", "text", "Hello! Can I get more info on this?"),
    ("published_reaction_message", "reaction", "👍"), ("published_image_message", "image", "Taj Mahal"),
    ("published_location_message", "location", "Philz Coffee, 101 Forest Ave, Palo Alto, CA 94301"),
    ("published_contact_sharing_message", "contacts", "Lucía Gómez +1 (983) 555-2319"),
    ("published_unsupported_message", "unsupported", ""), ("published_button_message", "choice", "Unsubscribe"),
    ("published_interactive_list_reply_message", "choice", "Priority Mail Express"),
    ("published_interactive_button_reply_message", "choice", "Cancel"), ("published_order_message", "order", ""),
    ("published_system_message", "system", "User Sheena Nelson changed from 16505551234 to 12195555358"),
    ("message_video", "video", "My vacation"), ("message_voice", "audio", ""), ("message_document", "document", "My receipt"),
    ("message_sticker", "sticker", ""), ("message_reply", "text", "Yes, that one"), ("message_reaction_removed", "reaction", ""),
    ("message_flow_reply", "choice", "Sent"), ("message_request_welcome", "request_welcome", ""),
    ("message_deleted", "system", ""), ("message_edited", "system", "Yes, the blue one"), ("message_unknown_type", "unsupported", ""),
])  # fmt: skip
def test_a_message_has_its_kind_and_its_text(name: str, kind: str, text: str) -> None:
    message = one(name)
    assert isinstance(message, Incoming)
    assert (message.kind, message.text, message.account) == (kind, text, ACCOUNT)
    assert message.wa_id == "16505551234" and not message.from_me


def test_a_text_message_whole() -> None:
    message = one("published_text_message")
    assert message.provider_id == "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA="
    assert message.at == datetime.fromtimestamp(1749416383, UTC)
    assert (message.profile_name, message.business_id) == ("Sheena Nelson", "419561257915477")
    assert message.content == {"text": "Does it come in another color?"}
    assert (message.reply_to, message.referral, message.user_id) == (None, None, None)


def test_media_keep_what_is_needed_to_fetch_them() -> None:
    assert one("published_image_message").content == {
        "media_id": "1003383421387256",
        "caption": "Taj Mahal",
        "mime_type": "image/jpeg",
        "sha256": "SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=",
    }
    assert one("message_voice").content["voice"] is True
    assert one("message_document").content["filename"] == "receipt.pdf"


def test_replies_referrals_and_products_are_kept() -> None:
    assert one("message_reply").reply_to == "wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI4QjA5RkU2QzVERTkwOTdCQjMA"
    assert one("published_text_message_from_click_to_whatsapp_ad").referral["source_type"] == "ad"
    product = one("published_text_message_with_context_product_inquiry")
    assert product.content["referred_product"]["product_retailer_id"] == "di9ozbzfi4"
    assert one("published_reaction_message").reply_to.startswith("wamid.")
    assert one("message_deleted").content == {"type": "message_deleted", "message_id": "wamid.EXREPLY"}
    assert one("message_edited").content["content"] == {"text": "Yes, the blue one"}


def test_choices_tell_what_was_chosen() -> None:
    assert one("published_button_message").content == {"title": "Unsubscribe", "payload": "Unsubscribe"}
    assert one("published_interactive_button_reply_message").content == {"id": "cancel-button", "title": "Cancel"}
    assert one("published_interactive_list_reply_message").content["description"] == "Next Day to 2 Days"
    assert json.loads(one("message_flow_reply").content["payload"])["day"] == "Monday"


def test_a_person_without_a_phone_number_is_read() -> None:
    message = one("message_from_user_without_phone")
    assert (message.wa_id, message.user_id, message.username) == ("", "CO.13491208655302741918", "ana.gomez")
    tick = one("status_of_user_without_phone")
    assert (tick.recipient_wa_id, tick.recipient_user_id) == (None, "CO.13491208655302741918")


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "failed"])
def test_a_status_carries_our_key(status: str) -> None:
    tick = one(f"status_{status}")
    assert isinstance(tick, Tick)
    assert (tick.status, tick.key) == (status, "019a0000-0000-7000-8000-000000000001:1")
    assert tick.event_key == f"{tick.provider_id}:{status}"
    assert (tick.account, tick.recipient_wa_id) == (ACCOUNT, "16505551234")


def test_a_failed_status_says_why() -> None:
    tick = one("status_failed")
    assert (tick.error_code, tick.error_title) == ("131047", "Re-engagement message")
    assert tick.error_details.startswith("Message failed to send because more than 24 hours")
    assert one("status_sent").pricing == {"billable": False, "pricing_model": "PMP", "category": "service"}
    assert one("status_sent").expires_at == datetime.fromtimestamp(1750386401, UTC)


def test_a_person_stops_and_resumes_marketing() -> None:
    stop, resume = one("user_preferences_stop"), one("user_preferences_resume")
    assert isinstance(stop, Preference) and isinstance(resume, Preference)
    assert (stop.choice, resume.choice, stop.purpose, stop.wa_id) == ("stop", "resume", "marketing", "16505551234")
    assert stop.event_key != resume.event_key


@pytest.mark.parametrize(("name", "change", "value", "reason"), [
    ("template_approved", "status", "APPROVED", None),
    ("template_rejected", "status", "REJECTED", "INVALID_FORMAT: Variables may not stand at the end.: Add text after the last variable."),
    ("template_paused", "status", "PAUSED", "FIRST_PAUSE: Your template is paused for 3 hours because of low quality."),
    ("template_disabled", "status", "DISABLED", "1750310000"), ("template_quality", "quality", "YELLOW", "previously GREEN"),
    ("template_category", "category", "MARKETING", "previously UTILITY"),
    ("template_category_announced", "category", "UTILITY", "announced MARKETING"),
])  # fmt: skip
def test_a_template_changes(name: str, change: str, value: str, reason: str | None) -> None:
    news = one(name)
    assert isinstance(news, TemplateChange)
    assert (news.change, news.value, news.reason) == (change, value, reason)
    assert (news.provider_template_id, news.name, news.language) == ("1689556908129832", "order_update", "en_US")


def test_new_components_of_a_template_are_kept() -> None:
    news = one("template_components")
    assert news.change == "components"
    assert set(news.value) == {"element", "footer", "buttons"}


@pytest.mark.parametrize(("name", "change"), [
    ("number_flagged", "quality"), ("number_limit_raised", "limit"), ("number_name", "name"), ("account_violation", "account"),
    ("account_restriction", "account"), ("account_review", "review"), ("account_alert", "alerts"),
    ("business_capability", "capabilities"), ("security", "security"),
])  # fmt: skip
def test_a_number_or_account_changes(name: str, change: str) -> None:
    news = one(name)
    assert isinstance(news, NumberChange)
    assert (news.change, news.business_id) == (change, "102290129340398")
    assert news.value == EXAMPLES[name]["entry"][0]["changes"][0]["value"]


def test_what_was_written_in_the_business_app_is_ours_and_to_the_contact() -> None:
    echo = one("echo_of_business_app")
    assert (echo.from_me, echo.wa_id, echo.text) == (True, "16505551234", "I answer from the app")


@pytest.mark.parametrize(("name", "field"), [
    ("published_group_create_message", "group_lifecycle_update"), ("published_group_settings_update", "group_settings_update"),
    ("published_group_remove_participants", "group_participants_update"), ("message_in_group", "messages"),
    ("call_connect", "calls"), ("flow_status", "flows"), ("history_chunk", "history"), ("app_state", "smb_app_state_sync"),
    ("unknown_field", "something_of_next_year"), ("status_unknown_word", "messages"), ("value_errors", "messages.errors"),
    ("other_object", ""),
])  # fmt: skip
def test_what_nobody_reads_yet_is_kept(name: str, field: str) -> None:
    news = one(name)
    assert isinstance(news, Unsupported)
    assert news.field == field and news.payload


def test_one_bad_part_does_not_cost_the_others() -> None:
    body = copy.deepcopy(EXAMPLES["status_batch"])
    body["entry"][0]["changes"][0]["value"]["statuses"].insert(2, "nonsense")
    body["entry"].insert(0, None)
    body["entry"].append({"id": "1", "changes": [5, {"field": "messages"}]})
    news = parse(body)
    assert sum(isinstance(item, Tick) for item in news) == 9
    assert sum(isinstance(item, Unsupported) for item in news) == 4


def test_a_message_and_a_status_in_one_body() -> None:
    message, tick = parse(EXAMPLES["message_and_status_together"])
    assert isinstance(message, Incoming) and isinstance(tick, Tick)


@pytest.mark.parametrize(
    "stamp",
    ["0", "-5", "99999999999999999999", "soon", "", None, True, 1e300, float("nan"), [], "1249416383", "4102444800"],
)
def test_an_absurd_moment_becomes_a_plausible_one(stamp: Any) -> None:
    body = copy.deepcopy(EXAMPLES["published_text_message"])
    body["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = stamp
    (message,) = parse(body)
    now = datetime.now(UTC)
    assert isinstance(message, Incoming)
    assert 2009 <= message.at.year and message.at <= now


def test_milliseconds_are_understood() -> None:
    body = copy.deepcopy(EXAMPLES["published_text_message"])
    body["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = 1749416383000
    assert parse(body)[0].at == datetime.fromtimestamp(1749416383, UTC)


def test_hostile_texts_are_cleaned_and_long_ids_stay_apart() -> None:
    def of(text: str, message_id: str) -> Any:
        body = copy.deepcopy(EXAMPLES["published_text_message"])
        message = body["entry"][0]["changes"][0]["value"]["messages"][0]
        message["text"]["body"], message["id"] = text, message_id
        return parse(body)[0]

    assert of("a\0b\ud800c", "wamid.1").text == "ab\ufffdc"
    assert len(of("x" * 1_000_000, "wamid.1").text) == 65_536
    assert of("x", "w" * 500 + "1").event_key != of("x", "w" * 500 + "2").event_key
    storable([of("x", "w" * 500)])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON)
def test_any_json_value_is_news(value: Any) -> None:
    storable(parse(value))
    storable(parse({"object": "whatsapp_business_account", "entry": value}))
    for field in ("messages", "user_preferences", "message_template_status_update", "account_update", "calls"):
        storable(parse({"object": "whatsapp_business_account", "entry": [{"id": value, "time": value, "changes": [{"field": field, "value": value}]}]}))  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys: Iterable[Any] = (
        value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path] + [spot for key in keys for spot in spots(value[key], (*path, key))]


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(EXAMPLES)), st.randoms(use_true_random=False), JSON, st.integers(1, 3))
def test_any_mutation_of_an_example_is_news(name: str, dice: random.Random, other: Any, times: int) -> None:
    body = copy.deepcopy(EXAMPLES[name])
    for _ in range(times):
        places = [spot for spot in spots(body) if spot]
        if not places:
            break
        *way, last = dice.choice(places)
        holder = body
        for key in way:
            holder = holder[key]
        if isinstance(holder, dict) and dice.random() < 0.3:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(other)
    storable(parse(body))


def test_deep_nesting_is_cut_and_does_not_break() -> None:
    deep: Any = "end"
    for _ in range(5_000):
        deep = {"a": deep}
    storable(parse(deep))
    storable(
        parse(
            {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "x", "value": deep}]}]}
        )
    )


def test_a_thousand_statuses_are_read_fast() -> None:
    """The target is 20 ms on a quiet core; five times that fails, so that a busy machine does not."""
    status = EXAMPLES["status_sent"]["entry"][0]["changes"][0]["value"]["statuses"][0]
    body = copy.deepcopy(EXAMPLES["status_sent"])
    body["entry"][0]["changes"][0]["value"]["statuses"] = [{**status, "id": f"wamid.{n}"} for n in range(1000)]
    best = 9.0
    for _ in range(5):
        begun = time.perf_counter()
        assert len(parse(body)) == 1000
        best = min(best, time.perf_counter() - begun)
    print(f"{best * 1000:.1f} ms for 1,000 statuses")
    assert best < 0.1


def signed(raw: bytes, secret: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}


def test_a_signature_holds_for_exactly_these_bytes_and_secrets() -> None:
    verify, raw = WhatsApp().verify, b'{"object":"whatsapp_business_account"}'
    assert verify(raw, signed(raw, "one"), ["one"])
    assert verify(raw, signed(raw, "two"), ["one", "two"])
    assert verify(raw, {"x-hub-signature-256": signed(raw, "one")["X-Hub-Signature-256"].upper()}, ["one"])
    assert not verify(raw + b" ", signed(raw, "one"), ["one"])
    assert not verify(raw, signed(raw, "one"), ["two"])
    assert not verify(raw, signed(raw, ""), ["", ""])
    assert not verify(raw, signed(raw, "one"), [])


@pytest.mark.parametrize(
    "header",
    ["", "sha256=", "sha1=abc", "sha256=é\ud800", "=", "sha256", "sha256=" + "0" * 64, "sha256=" + "0" * 10_000],
)
def test_a_hostile_signature_is_false_and_never_an_error(header: str) -> None:
    assert WhatsApp().verify(b"{}", {"X-Hub-Signature-256": header}, ["secret", "\ud800"]) is False


@pytest.mark.parametrize(
    "headers", [{}, {"X-Hub-Signature": "sha1=x"}, None, [], {5: 6}, {"X-Hub-Signature-256": None}]
)
def test_no_signature_is_false(headers: Any) -> None:
    assert WhatsApp().verify(b"{}", headers, ["secret"]) is False
