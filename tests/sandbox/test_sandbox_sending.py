"""What POST /messages takes and refuses, and how it words it."""

from typing import Any

import pytest

from .conftest import NUMBER, SHEENA, Product, Sandbox

BUTTONS: dict[str, Any] = {
    "type": "button",
    "body": {"text": "Choose"},
    "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "Yes"}}]},
}


def _row(index: int) -> dict[str, str]:
    return {"id": f"r{index}", "title": f"Row {index}", "description": "more"}


LIST: dict[str, Any] = {
    "type": "list",
    "body": {"text": "Choose"},
    "action": {"button": "Open", "sections": [{"title": "All", "rows": [_row(index) for index in range(10)]}]},
}
LINK: dict[str, Any] = {
    "type": "cta_url",
    "header": {"type": "text", "text": "News"},
    "body": {"text": "See"},
    "footer": {"text": "bye"},
    "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://shop.example"}},
}
CARD = {"name": {"formatted_name": "Ana Gil", "first_name": "Ana"}, "phones": [{"phone": "+34 600 000 000"}]}

GOOD: list[dict[str, Any]] = [
    {"type": "text", "text": {"body": "Hi", "preview_url": True}, "recipient_type": "individual"},
    {"text": {"body": "the type is text when it is left out"}},
    {"type": "image", "image": {"link": "https://shop.example/a.jpg", "caption": "A"}},
    {"type": "video", "video": {"link": "https://shop.example/a.mp4"}},
    {"type": "audio", "audio": {"link": "https://shop.example/a.ogg"}},
    {"type": "document", "document": {"link": "https://shop.example/a.pdf", "filename": "a.pdf", "caption": "A"}},
    {"type": "sticker", "sticker": {"link": "https://shop.example/a.webp"}},
    {"type": "location", "location": {"latitude": 37.4, "longitude": "-122.1", "name": "HQ", "address": "1 Way"}},
    {"type": "contacts", "contacts": [CARD]},
    {"type": "interactive", "interactive": BUTTONS},
    {"type": "interactive", "interactive": LIST},
    {"type": "interactive", "interactive": LINK},
    {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}},
    {"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": ""}},
    {"type": "text", "text": {"body": "Re"}, "context": {"message_id": "wamid.x"}},
]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body.get("interactive", body).get("type", "no type")))
def test_every_kind_of_message_is_accepted(sandbox: Sandbox, body: dict[str, Any]) -> None:
    answer = sandbox.send(to="+1 (650) 555-1234", **body)
    assert answer.status == 200, answer.raw
    assert answer.json["messaging_product"] == "whatsapp"
    assert answer.json["contacts"] == [{"input": "+1 (650) 555-1234", "wa_id": SHEENA}]
    assert answer.json["messages"][0]["id"].startswith("wamid.HBg")
    assert answer.json["messages"][0]["message_status"] == "accepted"


def _interactive(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"type": "interactive", "interactive": base | changes}


def _buttons(*titles: str) -> dict[str, Any]:
    rows = [{"type": "reply", "reply": {"id": f"b{index}", "title": title}} for index, title in enumerate(titles)]
    return {"buttons": rows}


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("no product", {"messaging_product": None, "text": {"body": "x"}}, 100, "messaging_product is required"),
    ("wrong product", {"messaging_product": "sms", "text": {"body": "x"}}, 100, "must be one of {WHATSAPP}"),
    ("no recipient", {"to": None, "text": {"body": "x"}}, 100, "parameter to is required"),
    ("number as number", {"to": 16505551234, "text": {"body": "x"}}, 100, "Param to must be a string"),
    ("no number", {"to": "hello", "text": {"body": "x"}}, 131009, "not a phone number"),
    ("group", {"recipient_type": "group", "text": {"body": "x"}}, 100, "recipient_type must be one of"),
    ("unknown type", {"type": "poem"}, 100, "Param type must be one of"),
    ("no object", {"type": "image"}, 100, "parameter image is required"),
    ("object is a text", {"type": "image", "image": "x"}, 100, "must be a JSON object"),
    ("empty text", {"type": "text", "text": {"body": ""}}, 100, "text['body'] is required"),
    ("text is a number", {"type": "text", "text": {"body": 5}}, 100, "must be a string"),
    ("long text", {"type": "text", "text": {"body": "x" * 4097}}, 100, "at most 4096"),
    ("unknown key", {"type": "text", "text": {"body": "x", "colour": "red"}}, 100, 'Unexpected key "colour"'),
    ("preview", {"type": "text", "text": {"body": "x", "preview_url": "yes"}}, 100, "must be a boolean"),
    ("media without source", {"type": "image", "image": {"caption": "x"}}, 131008, "exactly one of"),
    ("media with both", {"type": "image", "image": {"id": "1", "link": "https://a.example"}}, 100, "both id and link"),
    ("unknown media", {"type": "image", "image": {"id": "123"}}, 100, "not a valid whatsapp business account media"),
    ("no uri", {"type": "image", "image": {"link": "ftp://a"}}, 100, "not a valid URI"),
    (
        "audio caption",
        {"type": "audio", "audio": {"link": "https://a.example/b", "caption": "x"}},
        100,
        "Unexpected key",
    ),
    ("latitude", {"type": "location", "location": {"latitude": 95, "longitude": 1}}, 131009, "Latitude"),
    ("longitude missing", {"type": "location", "location": {"latitude": 5}}, 100, "location['longitude'] is required"),
    ("no contacts", {"type": "contacts", "contacts": []}, 100, "1 to 5 contacts"),
    ("nameless", {"type": "contacts", "contacts": [{"phones": []}]}, 100, "['name'] is required"),
    ("reaction words", {"type": "reaction", "reaction": {"message_id": "x", "emoji": "ok"}}, 131009, "one emoji"),
    ("reaction to nothing", {"type": "reaction", "reaction": {"emoji": "👍"}}, 100, "message_id"),
    ("four buttons", _interactive(BUTTONS, action=_buttons("1", "2", "3", "4")), 131009, "Max allowed buttons: 3"),
    ("long title", _interactive(BUTTONS, action=_buttons("x" * 21)), 131009, "Button title length invalid"),
    ("same title", _interactive(BUTTONS, action=_buttons("1", "1")), 131009, "Duplicated button titles"),
    ("no body", _interactive({**BUTTONS, "body": {}}), 100, "interactive['body']['text'] is required"),
    ("long body", _interactive(BUTTONS, body={"text": "x" * 1025}), 131009, "Body text length invalid"),
    ("long footer", _interactive(BUTTONS, footer={"text": "x" * 61}), 131009, "Footer text length invalid"),
    ("list header", _interactive(LIST, header={"type": "image", "image": {"link": "https://a.b"}}), 131009, "Header"),
    ("no action", {"type": "interactive", "interactive": {"type": "button"}}, 100, "interactive['action'] is required"),
    (
        "link label",
        _interactive(LINK, action={"name": "cta_url", "parameters": {"url": "https://a.b"}}),
        100,
        "display_text",
    ),
    ("callback data", {"text": {"body": "x"}, "biz_opaque_callback_data": "x" * 513}, 100, "at most 512"),
    ("context", {"text": {"body": "x"}, "context": {}}, 100, "context['message_id'] is required"),
]


@pytest.mark.parametrize(("body", "code", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_wrong_body_is_refused_with_metas_code(sandbox: Sandbox, body: dict[str, Any], code: int, words: str) -> None:
    answer = sandbox.send(**body)
    assert answer.status == 400
    assert answer.error["code"] == code
    assert words in answer.error["message"] + answer.error.get("error_data", {}).get("details", "")
    assert answer.error["type"] == "OAuthException"
    assert answer.error["fbtrace_id"].startswith("A")
    assert sandbox.control("GET", "ledger/summary")["accepted"] == 0


def test_eleven_rows_are_too_many_even_over_two_sections(sandbox: Sandbox) -> None:
    sections = [
        {"title": "A", "rows": [_row(index) for index in range(6)]},
        {"title": "B", "rows": [_row(index) for index in range(6, 11)]},
    ]
    answer = sandbox.send(type="interactive", interactive=LIST | {"action": {"button": "Open", "sections": sections}})
    assert answer.error["error_data"]["details"] == "Total row count exceed max allowed count: 10"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"a": NaN}', b"[" * 5000])
def test_a_body_that_is_no_json_object_is_code_100(sandbox: Sandbox, raw: bytes) -> None:
    answer = sandbox.call("POST", f"/v23.0/{NUMBER}/messages", raw, **{"Content-Type": "application/json"})
    assert (answer.status, answer.error["code"]) == (400, 100)


def test_a_bad_token_is_401_code_190(sandbox: Sandbox) -> None:
    for token in (None, "wrong"):
        answer = sandbox.call("POST", f"/v23.0/{NUMBER}/messages", {}, token=token)
        assert (answer.status, answer.error["code"]) == (401, 190)


def test_an_unknown_number_is_code_100_subcode_33(sandbox: Sandbox) -> None:
    answer = sandbox.text(_number="1")
    assert (answer.status, answer.error["code"], answer.error["error_subcode"]) == (400, 100, 33)
    assert answer.error["type"] == "GraphMethodException"


def test_any_version_prefix_is_the_same_api(sandbox: Sandbox) -> None:
    body = {"messaging_product": "whatsapp", "to": SHEENA, "text": {"body": "Hi"}}
    assert sandbox.call("POST", f"/v19.0/{NUMBER}/messages", body).status == 200
    assert sandbox.call("POST", f"/v99.1/{NUMBER}/messages", body).status == 200
    assert sandbox.call("POST", f"/{NUMBER}/messages", body).status in (404, 405)


@pytest.mark.parametrize(
    ("given", "wa_id"),
    [
        ("+52 55 1234 5678", "5215512345678"),
        ("5215512345678", "5215512345678"),
        ("+54 11 1234 5678", "5491112345678"),
        ("+54 9 11 1234 5678", "5491112345678"),
        ("54 11 15 1234 5678", "5491112345678"),
        ("+55 11 91234 5678", "5511912345678"),
        ("+55 11 8123 4567", "5511981234567"),
        ("+55 31 91234 5678", "553112345678"),
        ("+55 31 1234 5678", "553112345678"),
        ("+34-600.000.000", "34600000000"),
    ],
)
def test_the_answer_names_the_canonical_wa_id(sandbox: Sandbox, given: str, wa_id: str) -> None:
    assert sandbox.text(to=given).json["contacts"] == [{"input": given, "wa_id": wa_id}]


def test_the_business_does_not_write_to_itself(sandbox: Sandbox) -> None:
    assert sandbox.text(to="15550783881").error["code"] == 131021


def test_a_contact_without_a_number_is_reached_by_its_user_id(sandbox: Sandbox, product: Product) -> None:
    sandbox.says(user_id="US.13491208655302741918", username="sheena", hide_wa_id=True, name="Sheena")
    answer = sandbox.text(to=None, recipient="US.13491208655302741918")
    assert answer.json["contacts"] == [{"input": "US.13491208655302741918", "user_id": "US.13491208655302741918"}]
    assert sandbox.quiet()
    value = product.changes()[0]
    assert value["contacts"] == [
        {"profile": {"name": "Sheena", "username": "sheena"}, "user_id": "US.13491208655302741918"}
    ]
    assert value["messages"][0]["from_user_id"] == "US.13491208655302741918"
    assert "from" not in value["messages"][0]
    assert product.statuses()[0]["recipient_user_id"] == "US.13491208655302741918"
    assert sandbox.text(to=None, recipient="US.1").error["code"] == 131009


def test_a_second_number_has_its_own_token_and_templates(sandbox: Sandbox) -> None:
    sandbox.control(
        "POST",
        "numbers",
        {
            "phone_number_id": "777",
            "waba_id": "888",
            "access_token": "second",
            "display_phone_number": "+44 20 7946 0000",
        },
    )
    sandbox.says(phone_number_id="777")
    assert sandbox.text(_number="777", _token="second").status == 200
    assert sandbox.text(_number="777").error["error_subcode"] == 33
    assert sandbox.text(_token="second").error["error_subcode"] == 33
    assert sandbox.call("GET", "/v23.0/888/message_templates", token="second").json["data"]
