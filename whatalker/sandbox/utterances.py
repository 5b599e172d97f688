"""Turns what somebody says on a contact's phone into a message of Meta's shape, or says in a sentence why not."""

import base64
import binascii
import time
from typing import Any

from .emulator import Emulator
from .envelopes import Number
from .handsets import Contact
from .waids import canonical, digits_of, new_wamid

MEDIA = {"image", "video", "audio", "document", "sticker"}
NEEDS_OBJECT = {"location", "contacts", "reaction", "button", "interactive", "order", "system"}


def speaker(emulator: Emulator, body: dict[str, Any], name: str = "from") -> Contact:
    """The contact a body is about, with its name and ids brought up to date."""
    given = body.get(name)
    digits = digits_of(given) if isinstance(given, str) else None
    if digits is None:
        raise ValueError(f'"{name}" must be a phone number such as "16505551234".')
    contact = emulator.handsets.contact(canonical(digits))
    for field, kind in (("name", str), ("user_id", str), ("username", str), ("hide_wa_id", bool)):
        if isinstance(body.get(field), kind):
            setattr(contact, field, body[field])
    return contact


def number_of(emulator: Emulator, body: dict[str, Any]) -> Number:
    """The business number a body names, else the first."""
    named = body.get("phone_number_id")
    if named is None:
        return emulator.first_number()
    if named not in emulator.numbers:
        raise ValueError(f"There is no business number {named}.")
    return emulator.numbers[named]


def hear(emulator: Emulator, body: dict[str, Any]) -> dict[str, str]:
    """Say one thing; the ids of it. Raises ValueError with a sentence."""
    number = number_of(emulator, body)
    kind = body.get("type", "text")
    if not isinstance(kind, str) or not kind:
        raise ValueError('"type" must be a text.')
    content = _content(emulator, number, kind, body)
    contact = speaker(emulator, body)
    stamp = body.get("timestamp", time.time())
    if isinstance(stamp, str) and stamp.isdigit():
        stamp = int(stamp)
    if not isinstance(stamp, int | float):
        raise ValueError('"timestamp" must be seconds since 1970.')
    message: dict[str, Any] = {}
    if body.get("reply_to"):
        message["context"] = {"from": number.digits, "id": body["reply_to"]}
    if isinstance(body.get("referral"), dict):
        message["referral"] = body["referral"]
    message |= {"from": contact.wa_id, "id": body.get("id") or new_wamid(contact.wa_id, inbound=True)}
    if contact.hide_wa_id:
        del message["from"]
    if contact.user_id:
        message["from_user_id"] = contact.user_id
    message |= {"timestamp": str(int(stamp)), "type": kind} | content
    emulator.say(number, contact, message, float(stamp))
    return {"id": message["id"], "wa_id": contact.wa_id}


def _content(emulator: Emulator, number: Number, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    given = body.get(kind)
    if kind == "text":
        text = given.get("body") if isinstance(given, dict) else given
        if not isinstance(text, str) or not text:
            raise ValueError('"text" must be a text that is not empty.')
        return {"text": {"body": text}}
    if kind in MEDIA:
        return {kind: _media(emulator, number, kind, body)}
    if kind in NEEDS_OBJECT:
        if not isinstance(given, list if kind == "contacts" else dict):
            raise ValueError(f'A message of type {kind} needs its object in "{kind}".')
        if isinstance(given, dict) and kind == "reaction" and not isinstance(given.get("message_id"), str):
            raise ValueError('A reaction needs {"message_id", "emoji"}.')
        return {kind: given}
    if kind == "unsupported":
        error = {
            "code": 131051,
            "title": "Message type unknown",
            "message": "Message type unknown",
            "error_data": {"details": "Message type is currently not supported."},
        }
        return {"errors": body.get("errors", [error])}
    return {kind: given} if given is not None else {}


def _media(emulator: Emulator, number: Number, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    found = body.get(kind)
    given: dict[str, Any] = found if isinstance(found, dict) else {}
    both = body | given
    media_id = both.get("media_id") or both.get("id" if given else "media_id")
    if media_id is None and isinstance(body.get("data"), str):
        try:
            data = base64.b64decode(body["data"], validate=True)
        except binascii.Error:
            raise ValueError('"data" must be base64.') from None
        media_id = emulator.media.put(
            data,
            str(body.get("mime_type", "application/octet-stream")),
            str(body.get("filename", "")),
            number.phone_number_id,
            strict=False,
        )
    if not isinstance(media_id, str) or media_id not in emulator.media.rows:
        raise ValueError(f'A message of type {kind} needs "media_id" of an uploaded file, or "data" in base64.')
    shown: dict[str, Any] = {}
    if both.get("caption"):
        shown["caption"] = both["caption"]
    if kind == "document":
        shown["filename"] = both.get("filename") or emulator.media.rows[media_id]["filename"] or "document"
    shown |= emulator.media.in_webhook(media_id)
    if kind == "audio":
        shown["voice"] = bool(both.get("voice", False))
    if kind == "sticker":
        shown["animated"] = bool(both.get("animated", False))
    return shown
