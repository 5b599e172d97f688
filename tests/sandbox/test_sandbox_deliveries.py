"""Webhooks out: signed, complete, in Meta's shapes, and tried until the product answers 200."""

import json
import time
from typing import Any

import pytest

from .conftest import NUMBER, SHEENA, WABA, Product, Sandbox
from .test_sandbox_templates import COUPON, PICTURE, body, fill, text


def stages(product: Product, wamid: str | None = None) -> list[str]:
    return [status["status"] for status in product.statuses(wamid)]


def sent_id(answer: Any) -> str:
    assert answer.status == 200, answer.raw
    return str(answer.json["messages"][0]["id"])


def test_a_reply_is_sent_delivered_and_read_with_its_key(sandbox: Sandbox, product: Product) -> None:
    sandbox.says()
    wamid = sent_id(sandbox.text(biz_opaque_callback_data="m1:1"))
    assert sandbox.quiet()
    assert stages(product, wamid) == ["sent", "delivered", "read"]
    first, second, third = product.statuses(wamid)
    assert {status["biz_opaque_callback_data"] for status in (first, second, third)} == {"m1:1"}
    assert first["recipient_id"] == SHEENA and first["timestamp"].isdigit()
    assert first["conversation"]["origin"] == {"type": "service"}
    assert first["conversation"]["expiration_timestamp"].isdigit()
    assert first["pricing"] == {
        "billable": False,
        "pricing_model": "PMP",
        "type": "free_customer_service",
        "category": "service",
    }
    assert product.signatures_good


def test_the_envelope_is_metas(sandbox: Sandbox, product: Product) -> None:
    sandbox.says("Does it come in another color?", name="Sheena Nelson", id="wamid.FIXED", timestamp=1749416383)
    assert sandbox.quiet()
    payload = json.loads(product.bodies[0])
    payload["entry"][0].pop("time")
    assert payload == {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": WABA,
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {"display_phone_number": "15550783881", "phone_number_id": NUMBER},
                            "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": SHEENA}],
                            "messages": [
                                {
                                    "from": SHEENA,
                                    "id": "wamid.FIXED",
                                    "timestamp": "1749416383",
                                    "type": "text",
                                    "text": {"body": "Does it come in another color?"},
                                }
                            ],
                        },
                    }
                ],
            }
        ],
    }


def test_free_text_outside_the_window_fails_later_like_metas(sandbox: Sandbox, product: Product) -> None:
    wamid = sent_id(sandbox.text(biz_opaque_callback_data="m2:1"))
    assert sandbox.quiet()
    assert stages(product, wamid) == ["failed"]
    error = product.statuses(wamid)[0]["errors"][0]
    assert error["code"] == 131047 and error["title"] == "Re-engagement message" and error["error_data"]["details"]
    assert product.statuses(wamid)[0]["biz_opaque_callback_data"] == "m2:1"


def test_the_window_can_refuse_at_once_or_not_at_all(sandbox: Sandbox) -> None:
    sandbox.control("PUT", "behaviour", {"window": "sync"})
    assert sandbox.text().error["code"] == 131047
    assert fill(sandbox, "hello_world", "en_US").status == 200
    sandbox.says()
    assert sandbox.text().status == 200
    sandbox.control("PUT", "behaviour", {"window": "off"})
    assert sandbox.text(to="+34600000000").status == 200


def test_a_conversation_that_began_elsewhere_is_trusted_unless_told_otherwise(
    sandbox: Sandbox, product: Product
) -> None:
    sandbox.control("PUT", "behaviour", {"strangers": "trust"})
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.posted-by-a-test"}
    assert sandbox.call("POST", f"/v23.0/{NUMBER}/messages", read).json == {"success": True}
    wamid = sent_id(sandbox.text())
    assert sandbox.quiet()
    assert stages(product, wamid) == ["sent", "delivered", "read"]
    sandbox.says(timestamp=int(time.time()) - 25 * 3600)
    late = sent_id(sandbox.text())
    assert sandbox.quiet()
    assert stages(product, late) == ["failed"]


def test_an_old_message_leaves_the_window_closed_and_an_advertisement_opens_it_for_72_hours(sandbox: Sandbox) -> None:
    sandbox.control("PUT", "behaviour", {"window": "sync"})
    sandbox.says(timestamp=int(time.time()) - 25 * 3600)
    assert sandbox.text().error["code"] == 131047
    sandbox.says(timestamp=int(time.time()) - 25 * 3600, referral={"source_type": "ad", "source_id": "1"})
    assert sandbox.text().status == 200


def test_a_phone_that_is_offline_gets_everything_when_it_is_back(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("POST", "phone/contacts", {"wa_id": SHEENA, "online": False})
    sandbox.says()
    ids = [sent_id(sandbox.text(str(index))) for index in range(3)]
    assert sandbox.quiet()
    assert stages(product) == ["sent"] * 3
    sandbox.control("POST", "phone/contacts", {"wa_id": SHEENA, "online": True})
    time.sleep(0.05)
    assert sandbox.quiet()
    assert all(stages(product, wamid) == ["sent", "delivered", "read"] for wamid in ids)


def test_a_contact_that_does_not_read_stays_at_delivered_until_it_does(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("POST", "phone/contacts", {"wa_id": SHEENA, "reads": False})
    sandbox.says()
    wamid = sent_id(sandbox.text(biz_opaque_callback_data="k"))
    assert sandbox.quiet()
    assert stages(product, wamid) == ["sent", "delivered"]
    assert sandbox.control("POST", "phone/read", {"wa_id": SHEENA}) == {"read": 1}
    assert sandbox.quiet()
    assert product.statuses(wamid)[-1]["status"] == "read"
    assert product.statuses(wamid)[-1]["biz_opaque_callback_data"] == "k"
    assert sandbox.control("POST", "phone/read", {"wa_id": SHEENA}) == {"read": 0}


def test_who_stopped_marketing_gets_none_of_it(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("POST", "phone/preferences", {"from": SHEENA, "value": "stop"})
    wamid = sent_id(fill(sandbox, "summer_sale", "en_US", PICTURE, body(text("Ana")), COUPON))
    useful = sent_id(fill(sandbox, "hello_world", "en_US"))
    assert sandbox.quiet()
    wish = product.changes("user_preferences")[0]["user_preferences"][0]
    assert (wish["wa_id"], wish["category"], wish["value"]) == (SHEENA, "marketing_messages", "stop")
    assert product.statuses(wamid)[0]["errors"][0]["code"] == 131050
    assert stages(product, useful)[-1] == "read"
    sandbox.control("POST", "phone/preferences", {"from": SHEENA, "value": "resume"})
    again = sent_id(fill(sandbox, "summer_sale", "en_US", PICTURE, body(text("Ana")), COUPON))
    assert sandbox.quiet()
    assert stages(product, again)[0] == "sent"
    assert product.statuses(again)[0]["pricing"]["category"] == "marketing"
    assert product.statuses(again)[0]["pricing"]["billable"] is True


def test_a_product_that_is_down_loses_nothing_and_keeps_the_order(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("PUT", "callback", {"url": "http://127.0.0.1:9/callbacks/whatsapp"})
    ids = [sandbox.says(str(index)) for index in range(20)]
    time.sleep(0.2)
    assert sandbox.control("GET", "waiting")["waiting"] == 20
    sandbox.control("PUT", "callback", {"url": product.url})
    assert sandbox.quiet()
    assert [message["id"] for message in product.messages()] == ids


def test_an_answer_that_is_not_200_is_tried_again_with_the_same_bytes(sandbox: Sandbox, product: Product) -> None:
    product.answers += [500, 403, 302]
    sandbox.says()
    assert sandbox.quiet()
    assert len(product.bodies) == 4 and len(set(product.bodies)) == 1
    tries = [entry["try"] for entry in sandbox.control("GET", "ledger?kind=webhook")["entries"]]
    assert tries == [1, 2, 3, 4]
    gaps = [later - earlier for earlier, later in zip(product.times, product.times[1:], strict=False)]
    assert gaps[2] > gaps[0]


def test_batches_put_statuses_of_one_number_side_by_side(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("POST", "bulk", {})
    sandbox.control("PUT", "behaviour", {"workers": 1})
    for index in range(30):
        sandbox.text(to=f"+3460000{index:04}")
    assert sandbox.quiet()
    assert len(product.statuses()) == 90
    assert len(product.bodies) < 90
    assert max(len(value["statuses"]) for value in product.changes()) > 1


def test_doubled_and_shuffled_webhooks_lose_nothing(sandbox: Sandbox, product: Product) -> None:
    sandbox.control(
        "PUT", "faults", {"seed": 5, "webhook_duplicate": 0.5, "webhook_shuffle": 0.5, "webhook_hold_ms": 60}
    )
    ids = [sandbox.says(str(index)) for index in range(40)]
    assert sandbox.quiet()
    seen = [message["id"] for message in product.messages()]
    assert set(seen) == set(ids) and len(seen) > 40
    assert list(dict.fromkeys(seen)) != ids


NEWS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"kind": "template_status", "name": "hello_world", "status": "PAUSED"},
        "message_template_status_update",
        {"event": "PAUSED", "message_template_name": "hello_world", "message_template_language": "en_US"},
    ),
    (
        {"kind": "template_quality", "name": "hello_world", "quality": "RED"},
        "message_template_quality_update",
        {"previous_quality_score": "UNKNOWN", "new_quality_score": "RED"},
    ),
    (
        {"kind": "template_category", "name": "hello_world", "category": "MARKETING"},
        "template_category_update",
        {"previous_category": "UTILITY", "new_category": "MARKETING"},
    ),
    (
        {"kind": "template_components", "name": "hello_world"},
        "message_template_components_update",
        {"message_template_title": "Hello World"},
    ),
    (
        {"kind": "number_quality", "event": "DOWNGRADE", "limit": "TIER_250"},
        "phone_number_quality_update",
        {
            "event": "DOWNGRADE",
            "current_limit": "TIER_250",
            "old_limit": "TIER_1K",
            "display_phone_number": "15550783881",
        },
    ),
    ({"kind": "number_name", "name": "New name"}, "phone_number_name_update", {"decision": "APPROVED"}),
    (
        {"kind": "account_update", "event": "ACCOUNT_VIOLATION"},
        "account_update",
        {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}},
    ),
    ({"kind": "account_update", "event": "ACCOUNT_RESTRICTION"}, "account_update", {"event": "ACCOUNT_RESTRICTION"}),
    ({"kind": "account_review", "decision": "rejected"}, "account_review_update", {"decision": "REJECTED"}),
    ({"kind": "account_alert"}, "account_alerts", {"alert_severity": "WARNING"}),
    ({"kind": "capability"}, "business_capability_update", {"max_phone_numbers_per_business": 25}),
    ({"kind": "security"}, "security", {"event": "PIN_CHANGED"}),
]


@pytest.mark.parametrize(("news", "field", "part"), NEWS, ids=[f"{row[1]}-{row[2].get('event', '')}" for row in NEWS])
def test_news_that_is_no_message_is_told(
    sandbox: Sandbox, product: Product, news: dict[str, Any], field: str, part: dict[str, Any]
) -> None:
    assert sandbox.control("POST", "news", news) == {"field": field}
    assert sandbox.quiet()
    assert part.items() <= product.changes(field)[0].items()


def test_the_sandbox_follows_its_own_news(sandbox: Sandbox) -> None:
    sandbox.control("POST", "news", {"kind": "template_status", "name": "hello_world", "status": "PAUSED"})
    assert fill(sandbox, "hello_world", "en_US").error["code"] == 132015
    sandbox.control("POST", "news", {"kind": "number_quality", "event": "FLAGGED", "limit": "TIER_250"})
    number = sandbox.call("GET", f"/v23.0/{NUMBER}?fields=quality_rating,messaging_limit_tier").json
    assert (number["quality_rating"], number["messaging_limit_tier"]) == ("RED", "TIER_250")
    sandbox.control("POST", "news", {"kind": "account_update", "event": "DISABLED_UPDATE"})
    assert sandbox.text().error["code"] == 131031


def test_anything_at_all_can_be_sent_to_the_product(sandbox: Sandbox, product: Product) -> None:
    sandbox.control("POST", "webhooks", {"field": "flows", "value": {"event": "X"}})
    sandbox.control("POST", "webhooks", {"raw": '{"entry": []}', "sign": False})
    assert sandbox.quiet()
    assert product.changes("flows") == [{"event": "X"}]
    assert b'{"entry": []}' in product.bodies and not product.signatures_good


def test_a_new_callback_address_must_pass_the_handshake(sandbox: Sandbox, product: Product) -> None:
    assert sandbox.control("POST", "verify", {}) == {"ok": True, "status": 200}
    assert sandbox.control("POST", "verify", {"verify_token": "wrong"})["ok"] is False
    path = f"/v23.0/{WABA}/subscribed_apps"
    wrong = sandbox.call("POST", path, {"override_callback_uri": product.url, "verify_token": "wrong"})
    assert wrong.status == 400
    right = sandbox.call("POST", path, {"override_callback_uri": product.url, "verify_token": "sandbox-verify-token"})
    assert right.json == {"success": True}
    assert sandbox.call("GET", path).json["data"][0]["override_callback_uri"] == product.url
