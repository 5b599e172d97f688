"""One message object of a webhook, by its type: the neutral kind, its content, and the text that search will find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whatalker.channels.whatsapp.webhook_cleaning import clean, dicts, identity, mapping, prose, word

__all__ = ["Reading", "read"]

Raw = dict[str, Any]


@dataclass(slots=True)
class Reading:
    kind: str
    content: dict[str, Any]
    text: str = ""
    reply_to: str | None = None


def read(raw: Raw) -> Reading:
    """Never raises: a type nobody knows, or a known one without its parts, is kept whole as `unsupported`."""
    kind = word(raw.get("type")) or ""
    reader = READERS.get(kind)
    reading = (reader(raw) if reader else None) or _unsupported(raw, kind)
    context = mapping(raw.get("context"))
    if context:
        reading.reply_to = reading.reply_to or identity(context.get("id"))
        if isinstance(context.get("referred_product"), dict):
            reading.content["referred_product"] = clean(context["referred_product"])
        if context.get("forwarded") is True or context.get("frequently_forwarded") is True:
            reading.content["forwarded"] = True
    return reading


def _unsupported(raw: Raw, kind: str) -> Reading:
    content: dict[str, Any] = {"type": kind, "raw": clean(raw)}
    if isinstance(raw.get("errors"), list):
        content["errors"] = clean(raw["errors"])
    return Reading("unsupported", content)


def _text(raw: Raw) -> Reading | None:
    part = raw.get("text")
    if not isinstance(part, dict) or not isinstance(part.get("body"), str):
        return None
    said = prose(part["body"])
    return Reading("text", {"text": said}, said)


def _media(raw: Raw) -> Reading | None:
    kind = raw["type"]
    part = mapping(raw.get(kind))
    media_id = identity(part.get("id"))
    link = prose(part.get("link") or part.get("url"))
    if not media_id and not link:
        return None
    content: dict[str, Any] = {"media_id": media_id} if media_id else {"link": link}
    for name in ("caption", "filename", "mime_type", "sha256"):
        if isinstance(part.get(name), str):
            content[name] = prose(part[name])
    for name in ("voice", "animated"):
        if isinstance(part.get(name), bool):
            content[name] = part[name]
    return Reading(kind, content, content.get("caption") or content.get("filename") or "")


def _location(raw: Raw) -> Reading | None:
    part = mapping(raw.get("location"))
    latitude, longitude = _degrees(part.get("latitude"), 90), _degrees(part.get("longitude"), 180)
    if latitude is None or longitude is None:
        return None
    content: dict[str, Any] = {"latitude": latitude, "longitude": longitude}
    for name in ("name", "address", "url"):
        if isinstance(part.get(name), str) and part[name]:
            content[name] = prose(part[name])
    return Reading("location", content, ", ".join(content[name] for name in ("name", "address") if name in content))


def _degrees(value: Any, limit: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        degrees = float(value)
    except (ValueError, OverflowError):
        return None
    return degrees if -limit <= degrees <= limit else None


def _contacts(raw: Raw) -> Reading | None:
    cards = [card for card in dicts(raw.get("contacts")) if isinstance(card, dict)]
    if not cards:
        return None
    names = []
    for card in cards:
        phones = [prose(mapping(phone).get("phone")) for phone in dicts(card.get("phones"))]
        names.append(" ".join([prose(mapping(card.get("name")).get("formatted_name")), *phones]).strip())
    return Reading("contacts", {"contacts": clean(cards)}, ", ".join(name for name in names if name))


def _reaction(raw: Raw) -> Reading | None:
    part = mapping(raw.get("reaction"))
    target = identity(part.get("message_id"))
    if not target:
        return None
    emoji = prose(part.get("emoji"))[:64]  # absent or empty: the reaction was taken back
    return Reading("reaction", {"message_id": target, "emoji": emoji}, emoji, target)


def _button(raw: Raw) -> Reading | None:
    part = mapping(raw.get("button"))
    title = prose(part.get("text"))
    if not title and not part.get("payload"):
        return None
    return Reading("choice", {"title": title, "payload": prose(part.get("payload"))}, title)


def _interactive(raw: Raw) -> Reading | None:
    part = mapping(raw.get("interactive"))
    kind = word(part.get("type")) or ""
    reply = part.get(kind)
    if not isinstance(reply, dict):
        return None
    if kind in ("button_reply", "list_reply"):
        content = {
            name: prose(reply[name]) for name in ("id", "title", "description") if isinstance(reply.get(name), str)
        }
        content.setdefault("title", "")
        return Reading("choice", content, content["title"])
    if kind == "nfm_reply":
        content = {"title": prose(reply.get("body")), "payload": prose(reply.get("response_json"))}
        return Reading("choice", content, content["title"])
    if kind == "call_permission_reply":
        answer = prose(reply.get("response"))
        return Reading("choice", {"id": f"call_permission:{answer}", "title": answer}, answer)
    return None


def _order(raw: Raw) -> Reading | None:
    part = raw.get("order")
    if not isinstance(part, dict):
        return None
    return Reading("order", clean(part), prose(part.get("text")))


def _system(raw: Raw) -> Reading | None:
    part = raw.get("system")
    if not isinstance(part, dict):
        return None
    return Reading("system", clean(part), prose(part.get("body")))


def _welcome(raw: Raw) -> Reading:
    return Reading("request_welcome", {})


def _revoked(raw: Raw) -> Reading | None:
    target = identity(mapping(raw.get("revoke")).get("original_message_id"))
    if not target:
        return None
    return Reading("system", {"type": "message_deleted", "message_id": target}, "", target)


def _edited(raw: Raw) -> Reading | None:
    part = mapping(raw.get("edit"))
    target = identity(part.get("original_message_id"))
    new = part.get("message")
    if not target or not isinstance(new, dict) or new.get("type") in ("edit", "revoke"):
        return None
    inner = read(new)
    content = {"type": "message_edited", "message_id": target, "kind": inner.kind, "content": inner.content}
    return Reading("system", content, inner.text, target)


READERS: dict[str, Callable[[Raw], Reading | None]] = {
    "text": _text,
    "image": _media,
    "video": _media,
    "audio": _media,
    "document": _media,
    "sticker": _media,
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "button": _button,
    "interactive": _interactive,
    "order": _order,
    "system": _system,
    "request_welcome": _welcome,
    "revoke": _revoked,
    "edit": _edited,
}
