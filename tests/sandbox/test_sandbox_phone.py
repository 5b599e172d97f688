"""The contact's side: what it says arrives in Meta's shapes, and what happens shows on its screen."""

import base64
import http.client
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import NUMBER, SHEENA, WABA, Product, Sandbox
from .test_sandbox_sending import BUTTONS

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def form(data: bytes, mime_type: str, name: str = "a.png", **fields: str) -> tuple[bytes, str]:
    parts = [
        f'--sep\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    parts.append(
        f'--sep\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {mime_type}\r\n\r\n".encode()
        + data
        + b"\r\n--sep--\r\n"
    )
    return b"".join(parts), "multipart/form-data; boundary=sep"


def upload(sandbox: Sandbox, data: bytes, mime_type: str, **fields: str) -> Any:
    raw, kind = form(data, mime_type, **({"messaging_product": "whatsapp"} | fields))
    return sandbox.call("POST", f"/v23.0/{NUMBER}/media", raw, **{"Content-Type": kind})


def screen(sandbox: Sandbox) -> list[dict[str, Any]]:
    return list(sandbox.control("GET", f"phone/threads/{NUMBER}/{SHEENA}")["messages"])


SAID: list[dict[str, Any]] = [
    {"type": "location", "location": {"latitude": 37.44, "longitude": -122.16, "name": "Philz"}},
    {"type": "contacts", "contacts": [{"name": {"formatted_name": "Lucía"}, "phones": [{"phone": "+1"}]}]},
    {"type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": "👍"}},
    {"type": "button", "reply_to": "wamid.X", "button": {"payload": "Unsubscribe", "text": "Unsubscribe"}},
    {
        "type": "interactive",
        "reply_to": "wamid.X",
        "interactive": {"type": "list_reply", "list_reply": {"id": "a", "title": "A", "description": "B"}},
    },
    {
        "type": "interactive",
        "reply_to": "wamid.X",
        "interactive": {"type": "button_reply", "button_reply": {"id": "cancel-button", "title": "Cancel"}},
    },
    {"type": "order", "order": {"catalog_id": "1", "text": "", "product_items": []}},
    {"type": "system", "system": {"body": "changed", "wa_id": "12195555358", "type": "user_changed_number"}},
    {"type": "unsupported"},
    {"type": "request_welcome"},
    {"type": "sticker", "data": base64.b64encode(PIXEL).decode(), "mime_type": "image/webp"},
    {"type": "audio", "data": base64.b64encode(b"OggS").decode(), "mime_type": "audio/ogg; codecs=opus", "voice": True},
    {
        "type": "document",
        "data": base64.b64encode(b"%PDF").decode(),
        "mime_type": "application/pdf",
        "filename": "a.pdf",
    },
]


@pytest.mark.parametrize("said", SAID, ids=[f"{row['type']}-{index}" for index, row in enumerate(SAID)])
def test_everything_a_contact_can_say_arrives(sandbox: Sandbox, product: Product, said: dict[str, Any]) -> None:
    said_id = sandbox.control("POST", "phone/messages", {"from": SHEENA} | said)["id"]
    assert sandbox.quiet()
    message = product.messages()[0]
    assert (message["id"], message["from"], message["type"]) == (said_id, SHEENA, said["type"])
    assert message["timestamp"].isdigit()
    if said["type"] in said and said["type"] not in ("sticker", "audio", "document"):
        assert message[said["type"]] == said[said["type"]]
    if "reply_to" in said:
        assert message["context"] == {"from": "15550783881", "id": "wamid.X"}
    if said["type"] == "unsupported":
        assert message["errors"][0]["code"] == 131051
    if "data" in said:
        assert {"id", "mime_type", "sha256"} <= set(message[said["type"]])
    assert ("contacts" in product.changes()[0]) == (said["type"] != "system")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"from": "abc", "text": "x"},
        {"from": SHEENA},
        {"from": SHEENA, "text": ""},
        {"from": SHEENA, "type": "image"},
        {"from": SHEENA, "type": "reaction", "reaction": {}},
        {"from": SHEENA, "type": "order"},
        {"messages": "x"},
        {"from": SHEENA, "text": "x", "phone_number_id": "5"},
        {"from": SHEENA, "type": "image", "data": "?"},
    ],
    ids=str,
)
def test_nonsense_from_a_phone_is_a_sentence(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    answer = sandbox.call("POST", "/_sandbox/phone/messages", wrong, token=None)
    assert answer.status == 400 and answer.json["error"].endswith(".")


def test_media_goes_both_ways_and_needs_the_token(sandbox: Sandbox, product: Product) -> None:
    said = sandbox.control(
        "POST",
        "phone/messages",
        {
            "from": SHEENA,
            "type": "image",
            "data": base64.b64encode(PIXEL).decode(),
            "mime_type": "image/png",
            "caption": "Look",
        },
    )
    assert said["id"] and sandbox.quiet()
    picture = product.messages()[0]["image"]
    assert picture["caption"] == "Look" and picture["mime_type"] == "image/png"
    about = sandbox.call("GET", f"/v23.0/{picture['id']}").json
    assert about["file_size"] == len(PIXEL) and len(about["sha256"]) == 64 and about["mime_type"] == "image/png"
    path = about["url"].removeprefix(sandbox.url)
    assert sandbox.call("GET", path).raw == PIXEL
    assert sandbox.call("GET", path, token=None).status == 401
    assert sandbox.call("GET", path[:-1] + "x").status == 404
    assert sandbox.call("GET", f"/v23.0/{picture['id']}?phone_number_id=5").error["error_subcode"] == 33
    assert sandbox.call("DELETE", f"/v23.0/{picture['id']}").json == {"success": True}
    assert sandbox.call("GET", f"/v23.0/{picture['id']}").error["error_subcode"] == 33
    assert sandbox.call("GET", path).status == 404


def test_uploaded_media_can_be_sent_and_is_checked(sandbox: Sandbox) -> None:
    sandbox.says()
    media_id = upload(sandbox, PIXEL, "image/png").json["id"]
    assert sandbox.send(type="image", image={"id": media_id}).status == 200
    assert sandbox.call("GET", f"/_sandbox/phone/files/{media_id}", token=None).raw == PIXEL
    assert "following types" in upload(sandbox, b"MZ", "application/x-msdownload").error["message"]
    assert upload(sandbox, b"x" * (5 * 1024 * 1024 + 1), "image/jpeg").error["code"] == 131053
    raw, kind = form(PIXEL, "image/png")
    refused = sandbox.call("POST", f"/v23.0/{NUMBER}/media", raw, **{"Content-Type": kind})
    assert "messaging_product is required" in refused.error["message"]
    assert sandbox.call("POST", f"/v23.0/{NUMBER}/media", {}).error["code"] == 100


def test_what_a_browser_could_run_is_only_downloaded(sandbox: Sandbox) -> None:
    raw, kind = form(b"<script>alert(1)</script>", "text/html", name="a.html")
    media_id = sandbox.call("POST", "/_sandbox/phone/media", raw, token=None, **{"Content-Type": kind}).json["id"]
    answer = sandbox.call("GET", f"/_sandbox/phone/files/{media_id}", token=None)
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["Content-Type"].startswith("application/octet-stream")


def test_the_contacts_ticks_follow_the_product(sandbox: Sandbox, product: Product) -> None:
    product.answers += [500, 500]
    sandbox.control("PUT", "behaviour", {"retry_ms": 150})
    said = sandbox.says()
    time.sleep(0.05)
    assert screen(sandbox)[0]["status"] == "sending"
    assert sandbox.quiet()
    assert screen(sandbox)[0]["status"] == "delivered"
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": said, "typing_indicator": {"type": "text"}}
    assert sandbox.call("POST", f"/v23.0/{NUMBER}/messages", read).json == {"success": True}
    assert screen(sandbox)[0]["status"] == "read"
    assert sandbox.control("GET", f"phone/threads/{NUMBER}/{SHEENA}")["typing_s"] > 20
    sandbox.text()
    assert sandbox.control("GET", f"phone/threads/{NUMBER}/{SHEENA}")["typing_s"] == 0
    unknown = read | {"message_id": "wamid.unknown"}
    assert sandbox.call("POST", f"/v23.0/{NUMBER}/messages", unknown).error["code"] == 100


def test_tapping_a_button_marks_it_and_reactions_show(sandbox: Sandbox) -> None:
    sandbox.says()
    wamid = sandbox.send(type="interactive", interactive=BUTTONS).json["messages"][0]["id"]
    reply = {"type": "button_reply", "button_reply": {"id": "a", "title": "Yes"}}
    sandbox.control(
        "POST", "phone/messages", {"from": SHEENA, "type": "interactive", "reply_to": wamid, "interactive": reply}
    )
    sandbox.control(
        "POST", "phone/messages", {"from": SHEENA, "type": "reaction", "reaction": {"message_id": wamid, "emoji": "❤️"}}
    )
    shown = next(message for message in screen(sandbox) if message["id"] == wamid)
    assert shown["chosen"] == "Yes" and shown["reactions"] == {"contact": "❤️"}


def test_numbers_are_described_with_the_asked_fields(sandbox: Sandbox) -> None:
    usual = sandbox.call("GET", f"/v23.0/{NUMBER}").json
    assert set(usual) == {"id", "display_phone_number", "verified_name", "quality_rating"}
    fields = "status,throughput,messaging_limit_tier,whatsapp_business_manager_messaging_limit,name_status"
    more = sandbox.call("GET", f"/v23.0/{NUMBER}?fields={fields}").json
    assert more["status"] == "CONNECTED" and more["throughput"] == {"level": "STANDARD"}
    assert sandbox.call("GET", f"/v23.0/{NUMBER}?fields=shoe_size").error["code"] == 100
    assert sandbox.call("GET", f"/v23.0/{WABA}/phone_numbers").json["data"][0]["id"] == NUMBER
    assert sandbox.call("POST", f"/v23.0/{WABA}/subscribed_apps").json == {"success": True}


def test_the_page_is_strict_and_loads_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    page = sandbox.call("GET", "/phone", token=None)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    html = page.raw.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    for address in re.findall(r'(?:src|href)="([^"#]+)"', html):
        assert address.startswith("/phone/"), address
        assert sandbox.call("GET", address, token=None).status == 200
    for path in Path("whatalker/sandbox").glob("*.js"):
        assert "innerHTML" not in path.read_text(encoding="utf-8")
    assert sandbox.call("GET", "/phone/phone.py", token=None).status == 404


def test_open_pages_hear_which_thread_changed(sandbox: Sandbox) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    connection.request("GET", "/_sandbox/phone/events")
    stream = connection.getresponse()
    assert stream.getheader("Content-Type") == "text/event-stream"
    assert b"hello" in stream.readline() + stream.readline()
    sandbox.says()
    while not (line := stream.readline()).startswith(b'data: {"changed"'):
        pass
    assert f"{NUMBER}/{SHEENA}" in json.loads(line[6:])["changed"]
    connection.close()
