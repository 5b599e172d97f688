"""An Outgoing as the JSON that the Cloud API takes; what Meta is known to refuse is refused here with a sentence for the agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whatalker.channels import Outgoing
from whatalker.channels.whatsapp.template_bodies import template
from whatalker.channels.whatsapp.wording import number, required, text, within
from whatalker.errors import Invalid

__all__ = ["KINDS", "build", "read_receipt"]

LONGEST_TEXT = 4096
LONGEST_BODY = 1024
LONGEST_CAPTION = 1024
LONGEST_SMALL = 60
"""Header and footer of an interactive message."""


def build(outgoing: Outgoing) -> dict[str, Any]:
    """Raises Invalid, and only that, for any content; nothing was called then."""
    if outgoing.kind not in KINDS:
        raise Invalid(f"WhatsApp cannot send a message of the kind {outgoing.kind}.", code="not_sendable")
    try:
        part = KINDS[outgoing.kind](outgoing.content)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Invalid("The message is not written as its kind needs it.", code="not_sendable") from None
    body: dict[str, Any] = {"messaging_product": "whatsapp", "recipient_type": "individual"}
    if outgoing.to:
        body["to"] = outgoing.to
    elif outgoing.to_user_id:
        body["recipient"] = outgoing.to_user_id
    else:
        raise Invalid("The message has no recipient.", code="not_sendable")
    body["type"] = outgoing.kind
    body[outgoing.kind] = part
    if outgoing.reply_to and outgoing.kind != "reaction":
        body["context"] = {"message_id": outgoing.reply_to}
    body["biz_opaque_callback_data"] = outgoing.key
    return body


def read_receipt(provider_id: str, typing: bool = False) -> dict[str, Any]:
    """Marks a message (and those before it) read; with typing also shows the typing dots."""
    body: dict[str, Any] = {"messaging_product": "whatsapp", "status": "read", "message_id": provider_id}
    if typing:
        body["typing_indicator"] = {"type": "text"}
    return body


def _text(content: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {"body": within(required(content, "text"), LONGEST_TEXT, "The message")}
    if "preview_url" in content:
        part["preview_url"] = bool(content["preview_url"])
    return part


def _media(kind: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def part(content: Mapping[str, Any]) -> dict[str, Any]:
        body = source(content)
        if kind in ("image", "video", "document") and content.get("caption"):
            body["caption"] = within(text(content["caption"]), LONGEST_CAPTION, "The caption")
        if kind == "document" and content.get("filename"):
            body["filename"] = text(content["filename"])
        if kind == "audio" and content.get("voice"):
            body["voice"] = True
        return body

    return part


def source(content: Mapping[str, Any]) -> dict[str, Any]:
    """A file by the provider's id or by a link; the id goes first, for the provider already has it."""
    if content.get("media_id"):
        return {"id": text(content["media_id"])}
    if content.get("link"):
        link = text(content["link"])
        if not link.startswith(("https://", "http://")):
            raise Invalid("The link of a file must begin with https://.", code="not_sendable")
        return {"link": link}
    raise Invalid("The file is missing: attach it again.", code="not_sendable")


def _location(content: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {
        "latitude": number(content, "latitude", 90),
        "longitude": number(content, "longitude", 180),
    }
    for name in ("name", "address"):
        if content.get(name):
            part[name] = text(content[name])
    return part


def _contacts(content: Mapping[str, Any]) -> list[Any]:
    cards = content.get("contacts")
    if not isinstance(cards, Sequence) or isinstance(cards, str) or not cards:
        raise Invalid("Choose at least one contact to send.", code="not_sendable")
    return list(cards)


def _reaction(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"message_id": required(content, "message_id"), "emoji": text(content.get("emoji", ""))}


def _interactive(content: Mapping[str, Any]) -> dict[str, Any]:
    kind = content.get("type")
    if kind not in ACTIONS:
        raise Invalid(f"WhatsApp has no interactive message of the type {kind}.", code="not_sendable")
    part: dict[str, Any] = {"type": kind}
    if content.get("header"):
        part["header"] = _header(content["header"])
    part["body"] = {"text": within(required(content, "body"), LONGEST_BODY, "The message")}
    if content.get("footer"):
        part["footer"] = {"text": within(text(content["footer"]), LONGEST_SMALL, "The footer")}
    part["action"] = ACTIONS[kind](content)
    return part


def _header(header: Any) -> dict[str, Any]:
    if isinstance(header, str):
        header = {"type": "text", "text": header}
    kind = header.get("type")
    if kind == "text":
        return {"type": "text", "text": within(required(header, "text"), LONGEST_SMALL, "The header")}
    if kind in ("image", "video", "document"):
        part = source(header)
        if kind == "document" and header.get("filename"):
            part["filename"] = text(header["filename"])
        return {"type": kind, kind: part}
    raise Invalid(f"WhatsApp has no header of the type {kind}.", code="not_sendable")


def _buttons(content: Mapping[str, Any]) -> dict[str, Any]:
    buttons = content.get("buttons") or []
    if not 1 <= len(buttons) <= 3:
        raise Invalid("WhatsApp shows one to three buttons.", code="not_sendable")
    titles = [within(required(button, "title"), 20, "A button") for button in buttons]
    if len(set(titles)) < len(titles):
        raise Invalid("Each button needs its own title.", code="not_sendable")
    return {
        "buttons": [
            {"type": "reply", "reply": {"id": within(required(button, "id"), 256, "A button's id"), "title": title}}
            for button, title in zip(buttons, titles, strict=True)
        ]
    }


def _list(content: Mapping[str, Any]) -> dict[str, Any]:
    sections = content.get("sections") or []
    rows = sum(len(section.get("rows") or []) for section in sections)
    if not 1 <= rows <= 10:
        raise Invalid("WhatsApp shows one to ten rows in a list.", code="not_sendable")
    if len(sections) > 1 and not all(section.get("title") for section in sections):
        raise Invalid("Each section of the list needs a title.", code="not_sendable")
    return {
        "button": within(required(content, "button"), 20, "The list's button"),
        "sections": [_section(section) for section in sections],
    }


def _section(section: Mapping[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    if section.get("title"):
        part["title"] = within(text(section["title"]), 24, "A section's title")
    part["rows"] = []
    for row in section.get("rows") or []:
        line = {
            "id": within(required(row, "id"), 200, "A row's id"),
            "title": within(required(row, "title"), 24, "A row's title"),
        }
        if row.get("description"):
            line["description"] = within(text(row["description"]), 72, "A row's description")
        part["rows"].append(line)
    return part


def _call_to_action(content: Mapping[str, Any]) -> dict[str, Any]:
    title = within(required(content, "display_text"), 20, "The button")
    return {"name": "cta_url", "parameters": {"display_text": title, "url": required(content, "url")}}


ACTIONS: dict[Any, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "button": _buttons,
    "list": _list,
    "cta_url": _call_to_action,
}

KINDS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "text": _text,
    "image": _media("image"),
    "video": _media("video"),
    "audio": _media("audio"),
    "document": _media("document"),
    "sticker": _media("sticker"),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "reaction": _reaction,
    "template": template,
}
