"""Templates: what fills them, how they are reviewed, listed, edited and deleted."""

import json
from typing import Any

import pytest

from .conftest import NUMBER, SHEENA, WABA, Answer, Product, Sandbox


def text(value: str, name: str | None = None) -> dict[str, str]:
    return {"type": "text", "text": value} | ({"parameter_name": name} if name else {})


def body(*rows: dict[str, str]) -> dict[str, Any]:
    return {"type": "body", "parameters": list(rows)}


def button(index: int, sub_type: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"type": "button", "sub_type": sub_type, "index": str(index), "parameters": list(rows)}


def fill(sandbox: Sandbox, name: str, language: str, *components: dict[str, Any]) -> Answer:
    value: dict[str, Any] = {"name": name, "language": {"code": language}}
    if components:
        value["components"] = list(components)
    return sandbox.send(type="template", template=value)


PICTURE = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://shop.example/sale.png"}}]}
PLACE = {
    "type": "header",
    "parameters": [{"type": "location", "location": {"latitude": 1, "longitude": 2, "name": "Here"}}],
}
COUPON = button(0, "copy_code", {"type": "coupon_code", "coupon_code": "SUMMER25"})
TRACK = button(0, "url", text("860198"))
NAMED = body(text("Ana", "first_name"), text("Monday", "date"))

GOOD = [
    ("hello_world", "en_US"),
    ("order_update", "es", body(text("Ana"), text("7")), TRACK),
    (
        "order_update",
        "pt_BR",
        body(text("Ana"), text("7")),
        TRACK,
        button(1, "quick_reply", {"type": "payload", "payload": "T"}),
    ),
    ("appointment_reminder", "en_US", NAMED),
    ("summer_sale", "en_US", PICTURE, body(text("Ana")), COUPON),
    ("seasonal_offer", "pt_BR", {"type": "header", "parameters": [text("verão")]}, body(text("Ana"), text("X"))),
    ("delivery_location", "es", PLACE, body(text("Ana"))),
    ("login_code", "en_US", body(text("123456")), button(0, "url", text("123456"))),
]


@pytest.mark.parametrize("case", GOOD, ids=[f"{case[0]}-{case[1]}" for case in GOOD])
def test_a_shipped_template_is_sent_when_its_parameters_match(sandbox: Sandbox, case: Any) -> None:
    answer = fill(sandbox, *case)
    assert answer.status == 200, answer.raw
    assert sandbox.quiet()


BAD = [
    ("unknown name", ("nothing_here", "en_US"), 132001, 404),
    ("unknown language", ("hello_world", "fr"), 132001, 404),
    ("rejected", ("win_big", "en_US"), 132001, 404),
    ("paused", ("flash_deal", "en_US", body(text("Ana"))), 132015, 400),
    ("too few", ("order_update", "es", body(text("Ana")), TRACK), 132000, 400),
    ("none", ("order_update", "es"), 132000, 400),
    ("too many", ("hello_world", "en_US", body(text("Ana"))), 132000, 400),
    ("no picture", ("summer_sale", "en_US", body(text("Ana")), COUPON), 132012, 400),
    (
        "text for picture",
        ("summer_sale", "en_US", {"type": "header", "parameters": [text("x")]}, body(text("A")), COUPON),
        132012,
        400,
    ),
    ("wrong name", ("appointment_reminder", "en_US", body(text("A", "first_name"), text("B", "day"))), 132012, 400),
    (
        "wrong button",
        ("order_update", "es", body(text("A"), text("7")), button(0, "quick_reply", text("x"))),
        132012,
        400,
    ),
    ("no url parameter", ("order_update", "es", body(text("A"), text("7"))), 131008, 400),
    ("empty text", ("order_update", "es", body(text(""), text("7")), TRACK), 131008, 400),
    ("line break", ("order_update", "es", body(text("A\nB"), text("7")), TRACK), 132018, 400),
    ("long", ("order_update", "es", body(text("A" * 1100), text("7")), TRACK), 132005, 400),
    (
        "long coupon",
        ("summer_sale", "en_US", PICTURE, body(text("A")), button(0, "copy_code", {"coupon_code": "X" * 16})),
        131009,
        400,
    ),
]


@pytest.mark.parametrize(("case", "code", "status"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_template_that_does_not_match_is_refused(sandbox: Sandbox, case: Any, code: int, status: int) -> None:
    answer = fill(sandbox, *case)
    assert (answer.status, answer.error["code"]) == (status, code), answer.raw


def test_the_phone_shows_the_template_with_its_values(sandbox: Sandbox) -> None:
    fill(sandbox, "order_update", "es", body(text("Ana \\1"), text("7")), TRACK)
    shown = sandbox.control("GET", f"phone/threads/{NUMBER}/{SHEENA}")["messages"][0]["content"]
    assert shown["body"] == "Hola Ana \\1, tu pedido 7 está en camino."
    assert shown["buttons"][0] == {"type": "URL", "text": "Ver pedido", "url": "https://shop.example/orders/860198"}
    assert shown["buttons"][1] == {"type": "QUICK_REPLY", "text": "Gracias", "payload": "Gracias"}


def new(name: str, words: str = "Dear {{1}}, your seat is kept.", **more: Any) -> dict[str, Any]:
    components = [{"type": "BODY", "text": words, "example": {"body_text": [["Ana"]]}}]
    return {"name": name, "language": "en_US", "category": "UTILITY", "components": components} | more


def create(sandbox: Sandbox, template: dict[str, Any]) -> Answer:
    return sandbox.call("POST", f"/v23.0/{WABA}/message_templates", template)


def test_a_new_template_waits_then_is_approved_and_can_be_sent(sandbox: Sandbox, product: Product) -> None:
    answer = create(sandbox, new("seat_kept"))
    assert answer.json["status"] == "PENDING" and answer.json["category"] == "UTILITY"
    assert fill(sandbox, "seat_kept", "en_US", body(text("Ana"))).error["code"] == 132001
    assert sandbox.quiet()
    news = product.changes("message_template_status_update")[0]
    assert news["event"] == "APPROVED" and news["message_template_name"] == "seat_kept"
    assert news["message_template_id"] == int(answer.json["id"])
    assert fill(sandbox, "seat_kept", "en_US", body(text("Ana"))).status == 200


def test_the_word_rejectme_is_rejected_and_pendingme_stays(sandbox: Sandbox, product: Product) -> None:
    create(sandbox, new("one", "Hi {{1}}, rejectme please."))
    create(sandbox, new("pendingme"))
    assert sandbox.quiet()
    assert [value["event"] for value in product.changes("message_template_status_update")] == ["REJECTED"]
    rows = sandbox.call("GET", f"/v23.0/{WABA}/message_templates?fields=name,status,rejected_reason&limit=100").json[
        "data"
    ]
    found = {row["name"]: (row["status"], row["rejected_reason"]) for row in rows}
    assert found["one"] == ("REJECTED", "INVALID_FORMAT") and found["pendingme"][0] == "PENDING"


@pytest.mark.parametrize(
    ("template", "subcode"),
    [
        (new("Bad Name"), 2388073),
        (new("x", category="NEWS"), 2388025),
        (new("x", components=[{"type": "FOOTER", "text": "bye"}]), 2388042),
        (new("x", "{{1}} begins"), 2388299),
        (new("x", "Hi {{2}}, there"), 2388299),
        (new("x", components=[{"type": "BODY", "text": "Hi {{1}}, there"}]), 2388043),
        (new("x", components=[{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Hi"}]), 2388273),
        (new("hello_world", "Hi {{1}}, there"), 2388024),
    ],
)
def test_a_malformed_template_is_refused_with_a_text_for_people(sandbox: Sandbox, template: Any, subcode: int) -> None:
    answer = create(sandbox, template)
    assert (answer.status, answer.error["code"], answer.error["error_subcode"]) == (400, 100, subcode)
    assert answer.error["error_user_title"] and answer.error["error_user_msg"]


def test_the_published_examples_of_new_templates_are_taken(sandbox: Sandbox) -> None:
    otp = {
        "name": "code",
        "language": "en_US",
        "category": "AUTHENTICATION",
        "components": [
            {"type": "BODY", "add_security_recommendation": True},
            {"type": "FOOTER", "code_expiration_minutes": 10},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy Code"}]},
        ],
    }
    call = {
        "name": "call_us",
        "language": "en",
        "category": "MARKETING",
        "components": [
            {
                "type": "HEADER",
                "format": "TEXT",
                "text": "Our {{1}} is on!",
                "example": {"header_text": ["Summer Sale"]},
            },
            {"type": "body", "text": "Shop now through {{1}} and save.", "example": {"body_text": [["August"]]}},
            {"type": "FOOTER", "text": "Bye"},
            {"type": "BUTTONS", "buttons": [{"type": "PHONE_NUMBER", "text": "Call", "phone_number": "16467043595"}]},
        ],
    }
    for template in (otp, call):
        assert create(sandbox, template).status == 200
    assert sandbox.quiet()
    assert fill(sandbox, "code", "en_US", body(text("999")), button(0, "url", text("999"))).status == 200


def test_the_list_has_pages_and_filters(sandbox: Sandbox) -> None:
    seen, address = [], f"/v23.0/{WABA}/message_templates?limit=4"
    while address:
        page = sandbox.call("GET", address).json
        seen += [row["id"] for row in page["data"]]
        address = page["paging"].get("next", "").replace(sandbox.url, "")
    assert len(seen) == len(set(seen)) == 11
    paused = sandbox.call("GET", f"/v23.0/{WABA}/message_templates?status=PAUSED").json["data"]
    assert [row["name"] for row in paused] == ["flash_deal"]
    spanish = sandbox.call("GET", f"/v23.0/{WABA}/message_templates?name=order_update&language=es").json["data"]
    assert len(spanish) == 1 and spanish[0]["components"][0]["type"] == "BODY"


def test_deleting_by_name_takes_all_languages_and_by_id_one(sandbox: Sandbox) -> None:
    rows = sandbox.call("GET", f"/v23.0/{WABA}/message_templates?name=order_update").json["data"]
    one = rows[0]["id"]
    assert sandbox.call("DELETE", f"/v23.0/{WABA}/message_templates?name=order_update&hsm_id={one}").json == {
        "success": True
    }
    assert len(sandbox.call("GET", f"/v23.0/{WABA}/message_templates?name=order_update").json["data"]) == 2
    assert sandbox.call("DELETE", f"/v23.0/{WABA}/message_templates?name=order_update").json == {"success": True}
    assert sandbox.call("GET", f"/v23.0/{WABA}/message_templates?name=order_update").json["data"] == []
    gone = sandbox.call("DELETE", f"/v23.0/{WABA}/message_templates?name=order_update")
    assert gone.status == 400 and gone.error["error_subcode"] == 2593002


def test_an_edited_template_is_reviewed_again(sandbox: Sandbox, product: Product) -> None:
    row = sandbox.call("GET", f"/v23.0/{WABA}/message_templates?name=hello_world").json["data"][0]
    assert (
        sandbox.call("POST", f"/v23.0/{row['id']}", {"components": [{"type": "BODY", "text": "Hello again"}]}).status
        == 200
    )
    assert sandbox.quiet()
    assert (
        sandbox.call("GET", f"/v23.0/{row['id']}?fields=status,components").json["components"][0]["text"]
        == "Hello again"
    )
    assert product.changes("message_template_status_update")[0]["event"] == "APPROVED"


def test_every_answer_is_json(sandbox: Sandbox) -> None:
    for path in (f"/v23.0/{WABA}/message_templates", "/v23.0/1/message_templates", "/v23.0/1", "/v23.0/1/nothing"):
        json.loads(sandbox.call("GET", path).raw)
