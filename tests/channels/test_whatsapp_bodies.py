"""Every request body fits Meta's published description, once that description's own faults are repaired."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.channels.graph_stand_in import outgoing
from tests.channels.published_api import REPAIRS, description, faults, request_examples
from whatalker.channels.whatsapp import WhatsApp
from whatalker.channels.whatsapp.message_bodies import KINDS, read_receipt
from whatalker.errors import Invalid

ROWS = [{"id": f"r{n}", "title": f"Row {n}", "description": "more"} for n in range(3)]
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("text", {"text": "Hello"}),
    "text with preview": ("text", {"text": "See https://example.com", "preview_url": True}),
    "image by id": ("image", {"media_id": "1234"}),
    "image by link": ("image", {"link": "https://example.com/a.jpg", "caption": "Look"}),
    "video": ("video", {"media_id": "1234", "caption": "Look", "mime_type": "video/mp4", "sha256": "x"}),
    "audio": ("audio", {"media_id": "1234"}),
    "voice": ("audio", {"media_id": "1234", "voice": True}),
    "document": ("document", {"link": "https://example.com/a.pdf", "caption": "Bill", "filename": "bill.pdf"}),
    "sticker": ("sticker", {"media_id": "1234"}),
    "sticker by link": ("sticker", {"link": "https://example.com/a.webp"}),
    "location": ("location", {"latitude": 4.65, "longitude": "-74.05", "name": "Office", "address": "Calle 1"}),
    "contacts": ("contacts", {"contacts": [{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "phones": [{"phone": "+57 300", "type": "WORK"}]}]}),
    "buttons": ("interactive", {"type": "button", "header": {"type": "text", "text": "Hi"}, "body": "Choose", "footer": "now", "buttons": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"}]}),
    "buttons with picture": ("interactive", {"type": "button", "header": {"type": "image", "media_id": "1"}, "body": "Choose", "buttons": [{"id": "a", "title": "A"}]}),
    "buttons with document": ("interactive", {"type": "button", "header": {"type": "document", "link": "https://example.com/a.pdf", "filename": "a.pdf"}, "body": "Choose", "buttons": [{"id": "a", "title": "A"}]}),
    "list": ("interactive", {"type": "list", "body": "Choose", "button": "Open", "sections": [{"title": "One", "rows": ROWS}, {"title": "Two", "rows": ROWS}]}),
    "list of one section": ("interactive", {"type": "list", "header": "Menu", "body": "Choose", "button": "Open", "sections": [{"rows": ROWS}]}),
    "call to action": ("interactive", {"type": "cta_url", "body": "Read it", "display_text": "Open", "url": "https://example.com"}),
    "reaction": ("reaction", {"message_id": "wamid.X", "emoji": "👍"}),
    "reaction taken back": ("reaction", {"message_id": "wamid.X", "emoji": ""}),
    "template": ("template", {"name": "hello_world", "language": "en_US"}),
    "template with values": ("template", {"name": "order", "language": "es", "header": None, "body": ["Ana", 12], "buttons": [{"index": 0, "type": "url", "text": "abc"}, {"index": "1", "type": "quick_reply", "payload": "STOP"}]}),
    "template with names": ("template", {"name": "reminder", "language": "en_US", "header": {"type": "text", "text": "Hi"}, "body": {"first_name": "Ana", "date": "Monday"}, "buttons": []}),
    "template with picture": ("template", {"name": "sale", "language": "en_US", "header": {"type": "image", "link": "https://example.com/a.jpg"}, "body": ["25 %"], "buttons": [{"index": 0, "type": "copy_code", "code": "SALE25"}]}),
    "template with video": ("template", {"name": "sale", "language": "en_US", "header": {"type": "video", "media_id": "1"}}),
    "template with document": ("template", {"name": "bill", "language": "pt_BR", "header": {"type": "document", "media_id": "1", "filename": "bill.pdf"}}),
    "template with place": ("template", {"name": "delivery", "language": "es", "header": {"type": "location", "latitude": 4.6, "longitude": -74, "name": "Shop", "address": "Calle 1"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_the_body_fits_the_published_description(name: str) -> None:
    kind, content = BODIES[name]
    body = WhatsApp().build(outgoing(kind, content))
    assert faults("Message", body) == []
    assert body["biz_opaque_callback_data"] == "00000000-0000-0000-0000-000000000003:1"
    json.dumps(body).encode()


@pytest.mark.parametrize("name", BODIES)
def test_a_reply_quotes_and_fits_too(name: str) -> None:
    kind, content = BODIES[name]
    body = WhatsApp().build(outgoing(kind, content, reply_to="wamid.Q"))
    assert faults("Message", body) == []
    assert kind == "reaction" or body["context"] == {"message_id": "wamid.Q"}


@pytest.mark.parametrize("name", BODIES)
def test_a_person_without_a_phone_is_reached_by_the_user_id(name: str) -> None:
    kind, content = BODIES[name]
    body = WhatsApp().build(outgoing(kind, content, to="", to_user_id="CO.13491208655302741918"))
    assert faults("Message", body) == []
    assert "to" not in body and body["recipient"] == "CO.13491208655302741918"


@pytest.mark.parametrize("typing", [False, True])
def test_read_receipts_and_typing_dots_fit(typing: bool) -> None:
    assert faults("Message", read_receipt("wamid.X", typing)) == []


def test_every_kind_is_tried_here() -> None:
    assert {kind for kind, _content in BODIES.values()} == set(KINDS)


def test_every_repair_has_a_reason_and_is_needed() -> None:
    """The repairs are printed, so that a run of the tests lists what is wrong with the published file."""
    for name, reason, _mend in REPAIRS:
        print(f"{name}: {reason}")
        assert len(reason) > 40
    schemas = description()["components"]["schemas"]
    assert "additionalProperties" in schemas["TextMessage"]["allOf"][1], "the file itself is mended: drop the repair"
    assert "biz_opaque_callback_data" not in schemas["BaseMessageProperties"]["properties"]


STILL_FAULTY = {
    "Send Catalog Template Message": "index is a number and sub_type in capitals",
    "Send Flow Template Message": "flow buttons are not described; we do not send them",
    "Send Message Template Interactive": "date_time has parts that its schema does not know, and may",
    "Send Multi-Product Message": "the header's type is a placeholder",
    "Send Order Details Message": "order details are not described; we do not send them",
    "Send Order Status Message": "order status is not described; we do not send it",
    "Send Reply to List Message": "type is missing",
    "Send Sample Issue Resolution Template": "index is a number and text a boolean",
    "Send Text Message with Preview URL": "type is missing",
}


@pytest.mark.parametrize("name", sorted(request_examples()))
def test_the_repaired_description_takes_its_own_examples(name: str) -> None:
    text = json.dumps(request_examples()[name]).replace("<http(s)://", "http(s)://").replace("http(s)", "https")
    found = faults("Message", json.loads(text))
    assert not found or name in STILL_FAULTY, found


@pytest.mark.parametrize(("kind", "content"), [
    ("text", {}), ("text", {"text": "  "}), ("text", {"text": "x" * 4097}), ("text", {"text": None}), ("image", {}),
    ("image", {"link": "javascript:alert(1)"}), ("image", {"media_id": "1", "caption": "x" * 1025}), ("location", {"latitude": 1}),
    ("location", {"latitude": 91, "longitude": 0}), ("location", {"latitude": "nan", "longitude": 0}), ("contacts", {}),
    ("contacts", {"contacts": []}), ("contacts", {"contacts": "x"}), ("interactive", {}), ("interactive", {"type": "button", "body": "x"}),
    ("interactive", {"type": "button", "body": "x", "buttons": [{"id": str(n), "title": str(n)} for n in range(4)]}),
    ("interactive", {"type": "button", "body": "x", "buttons": [{"id": "1", "title": "A"}, {"id": "2", "title": "A"}]}),
    ("interactive", {"type": "button", "body": "x", "buttons": [{"id": "1", "title": "x" * 21}]}),
    ("interactive", {"type": "button", "body": "x", "buttons": "abc"}), ("interactive", {"type": "button", "body": "x", "buttons": 5}),
    ("interactive", {"type": "list", "body": "x", "button": "b", "sections": []}),
    ("interactive", {"type": "list", "body": "x", "button": "b", "sections": [{"rows": ROWS}, {"rows": ROWS}]}),
    ("interactive", {"type": "cta_url", "body": "x"}), ("reaction", {"emoji": "x"}), ("template", {}), ("template", {"name": "x"}),
    ("template", {"name": "x", "language": "en", "header": {"type": "image"}}), ("template", {"name": "x", "language": "en", "header": "x"}),
    ("template", {"name": "x", "language": "en", "buttons": [{"type": "url", "text": "x"}]}),
    ("template", {"name": "x", "language": "en", "buttons": [{"index": 10, "type": "url", "text": "x"}]}),
    ("template", {"name": "x", "language": "en", "buttons": [{"index": 0, "type": "dance"}]}),
    ("carousel", {}), ("", {}), ("order", {}),
])  # fmt: skip
def test_what_whatsapp_would_refuse_is_refused_here_with_a_sentence(kind: str, content: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        WhatsApp().build(outgoing(kind, content or {"none": 1}))
    assert caught.value.message.endswith((".", "!"))


def test_nobody_is_no_recipient() -> None:
    with pytest.raises(Invalid):
        WhatsApp().build(outgoing(to=""))


def test_nul_and_half_surrogates_leave_no_trace() -> None:
    body = WhatsApp().build(outgoing("text", {"text": "a\0b\ud83d c"}))
    assert body["text"]["body"] == "ab\ufffd c"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
NAMES = ["text", "body", "header", "buttons", "sections", "rows", "type", "contacts", "media_id", "link", "name", "language",
         "latitude", "longitude", "message_id", "title", "id", "button", "url", "display_text"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_content_is_built_or_refused_and_never_breaks(kind: str, content: dict[str, Any]) -> None:
    try:
        body = WhatsApp().build(outgoing(kind, content | {"none": 1}))
    except Invalid:
        return
    assert body["type"] == kind
