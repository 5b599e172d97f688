"""What an interactive message must look like: buttons, lists, links; Meta's limits and Meta's sentences."""

from collections.abc import Callable
from typing import Any

from .refusals import invalid, missing, required, wrong

CheckMedia = Callable[[Any, str], None]

# The kinds the emulator renders; the others are taken when they carry an action, and shown as a plain card.
OTHERS = {
    "address_message",
    "call_permission_request",
    "catalog_message",
    "flow",
    "location_request_message",
    "order_details",
    "order_status",
    "product",
    "product_list",
    "voice_call",
}


def check_interactive(value: dict[str, Any], check_media: CheckMedia) -> None:
    """Refuse an interactive object that Meta would refuse; header media goes through `check_media`."""
    kind = value.get("type")
    if kind is None:
        raise required("interactive['type']")
    if kind not in OTHERS | {"button", "list", "cta_url"}:
        raise wrong(f"Param interactive['type'] must be one of {{BUTTON, CTA_URL, LIST, …}} - got \"{kind}\".")
    action = value.get("action")
    if not isinstance(action, dict):
        raise required("interactive['action']")
    if kind in OTHERS:
        return
    _body(value)
    _header(value.get("header"), kind, check_media)
    footer = value.get("footer")
    if footer is not None:
        _length(_field(footer, "text", "interactive['footer']"), "Footer text", 60)
    {"button": _buttons, "list": _list, "cta_url": _link}[kind](action)


def _field(value: Any, name: str, where: str) -> str:
    if not isinstance(value, dict):
        raise wrong(f"Param {where} must be a JSON object.")
    text = value.get(name)
    if text is None:
        raise required(f"{where}['{name}']")
    if not isinstance(text, str):
        raise wrong(f"Param {where}['{name}'] must be a string.")
    return text


def _length(text: str, what: str, most: int) -> None:
    if not 1 <= len(text) <= most:
        raise invalid(f"{what} length invalid. Min length: 1, Max length: {most}")


def _body(value: dict[str, Any]) -> None:
    if "body" not in value:
        raise missing("Body is required for this interactive message.")
    _length(_field(value["body"], "text", "interactive['body']"), "Body text", 1024)


def _header(header: Any, kind: str, check_media: CheckMedia) -> None:
    if header is None:
        return
    form = _field(header, "type", "interactive['header']")
    if form == "text":
        _length(_field(header, "text", "interactive['header']"), "Header text", 60)
    elif form in ("image", "video", "document") and kind != "list":
        check_media(header.get(form), form)
    else:
        raise invalid(f"Header type '{form}' is not supported for interactive type '{kind}'.")


def _buttons(action: dict[str, Any]) -> None:
    buttons = action.get("buttons")
    if not isinstance(buttons, list):
        raise required("interactive['action']['buttons']")
    if not 1 <= len(buttons) <= 3:
        raise invalid("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    ids, titles = set(), set()
    for button in buttons:
        if not isinstance(button, dict) or button.get("type") != "reply":
            raise invalid("Button type invalid. Only 'reply' is supported.")
        reply = button.get("reply")
        key = _field(reply, "id", "interactive['action']['buttons']['reply']")
        title = _field(reply, "title", "interactive['action']['buttons']['reply']")
        _length(title, "Button title", 20)
        _length(key, "Button id", 256)
        if key != key.strip():
            raise invalid("Button id has leading or trailing spaces.")
        ids.add(key)
        titles.add(title)
    if len(ids) < len(buttons):
        raise invalid("Duplicated button ids")
    if len(titles) < len(buttons):
        raise invalid("Duplicated button titles")


def _list(action: dict[str, Any]) -> None:
    _length(_field(action, "button", "interactive['action']"), "Button label", 20)
    sections = action.get("sections")
    if not isinstance(sections, list) or not all(isinstance(section, dict) for section in sections):
        raise required("interactive['action']['sections']")
    if not 1 <= len(sections) <= 10:
        raise invalid("Invalid sections count. Min allowed sections: 1, Max allowed sections: 10")
    rows = []
    for section in sections:
        if len(sections) > 1 or section.get("title"):
            _length(_field(section, "title", "interactive['action']['sections']"), "Section title", 24)
        inside = section.get("rows")
        if not isinstance(inside, list) or not inside:
            raise missing("Every section needs at least one row.")
        rows += inside
    if len(rows) > 10:
        raise invalid("Total row count exceed max allowed count: 10")
    for row in rows:
        _length(_field(row, "id", "interactive['action']['sections']['rows']"), "Row id", 200)
        _length(_field(row, "title", "interactive['action']['sections']['rows']"), "Row title", 24)
        if row.get("description"):
            _length(_field(row, "description", "interactive['action']['sections']['rows']"), "Row description", 72)
    if len({row["id"] for row in rows}) < len(rows):
        raise invalid("Duplicated row ids")


def _link(action: dict[str, Any]) -> None:
    if action.get("name") != "cta_url":
        raise invalid("Action name must be 'cta_url'.")
    where = "interactive['action']['parameters']"
    _length(_field(action.get("parameters"), "display_text", where), "Display text", 20)
    url = _field(action.get("parameters"), "url", where)
    if not url.lower().startswith(("http://", "https://")):
        raise invalid("Url must begin with http:// or https://")
