"""What a body of POST /messages must look like; anything else is refused with Meta's own code, never repaired."""

import re
from collections.abc import Callable
from typing import Any

from .interactives import check_interactive
from .refusals import GraphError, invalid, missing, required, wrong

Body = dict[str, Any]
MediaKnown = Callable[[str], bool]

MEDIA = {
    "image": {"id", "link", "caption", "provider"},
    "video": {"id", "link", "caption", "provider"},
    "document": {"id", "link", "caption", "filename", "provider"},
    "audio": {"id", "link", "voice", "provider"},
    "sticker": {"id", "link", "provider"},
}
TYPES = ("audio", "contacts", "document", "image", "interactive", "location", "reaction", "sticker", "template", "text")
ALL_TYPES = (*TYPES, "video")
_LINK = re.compile(r"https?://[^\s/$.?#].[^\s]*\Z", re.IGNORECASE)
_PLACES = {"HOME", "WORK"}


def check_envelope(body: Body) -> None:
    """Refuse what is wrong before the type is looked at: product, recipient type, correlation data, context."""
    if body.get("messaging_product") != "whatsapp":
        if "messaging_product" not in body:
            raise required("messaging_product")
        raise wrong(_one_of("messaging_product", "WHATSAPP", body["messaging_product"]))
    if body.get("recipient_type", "individual") != "individual":
        raise wrong(_one_of("recipient_type", "INDIVIDUAL", body["recipient_type"]))
    data = body.get("biz_opaque_callback_data")
    if data is not None and (not isinstance(data, str) or len(data) > 512):
        raise wrong("Param biz_opaque_callback_data must be a string of at most 512 characters.")
    context = body.get("context")
    if context is not None:
        if not isinstance(context, dict):
            raise wrong("Param context must be a JSON object.")
        text_of(context, "message_id", "context", limit=512)


def check_message(body: Body, known_media: MediaKnown) -> str:
    """The type of a well-formed message. Templates are checked against the stored ones elsewhere."""
    kind = body.get("type", "text")
    if not isinstance(kind, str) or kind not in ALL_TYPES:
        listed = ", ".join(sorted(name.upper() for name in ALL_TYPES))
        raise wrong(f'Param type must be one of {{{listed}}} - got "{kind}".')
    value = body.get(kind)
    if value is None:
        raise required(kind)
    if kind == "contacts":
        _contacts(value)
        return kind
    if not isinstance(value, dict):
        raise wrong(f"Param {kind} must be a JSON object.")
    if kind == "text":
        _text(value)
    elif kind in MEDIA:
        check_media(value, kind, known_media)
    elif kind == "location":
        _location(value)
    elif kind == "reaction":
        _reaction(value)
    elif kind == "interactive":
        check_interactive(value, lambda media, name: check_media(media, name, known_media))
    return kind


def check_read(body: Body) -> str:
    """The message id of a read receipt (with or without a typing indicator)."""
    if body.get("status") != "read":
        raise wrong(_one_of("status", "READ", body.get("status")))
    message_id = body.get("message_id")
    if not message_id:
        raise required("message_id")
    typing = body.get("typing_indicator")
    if typing is not None and (not isinstance(typing, dict) or typing.get("type") != "text"):
        raise wrong("Param typing_indicator['type'] must be one of {TEXT}.")
    if not isinstance(message_id, str):
        raise wrong("Param message_id must be a string.")
    return message_id


def text_of(value: Body, name: str, where: str, *, limit: int, optional: bool = False) -> str:
    """A string field of at most `limit` characters; empty counts as missing."""
    text = value.get(name)
    label = f"{where}['{name}']"
    if text is None or text == "":
        if optional:
            return ""
        raise required(label)
    if not isinstance(text, str):
        raise wrong(f"Param {label} must be a string.")
    if len(text) > limit:
        raise wrong(f"Param {label} must be at most {limit} characters long.")
    return text


def check_media(value: Any, kind: str, known_media: MediaKnown) -> None:
    """Exactly one of id and link, an id this provider knows, and only the keys this kind of media has."""
    if not isinstance(value, dict):
        raise wrong(f"Param {kind} must be a JSON object.")
    only(value, MEDIA[kind], kind)
    media_id, link = value.get("id"), value.get("link")
    if (media_id is None) == (link is None):
        raise (
            missing(f"For type '{kind}' exactly one of 'id' and 'link' is required.")
            if media_id is None
            else wrong(f"Param {kind} must not have both id and link.")
        )
    if link is not None and not (isinstance(link, str) and _LINK.match(link)):
        raise wrong(f"Param {kind}['link'] is not a valid URI.")
    if media_id is not None and not (isinstance(media_id, str) and known_media(media_id)):
        raise wrong(f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID")
    text_of(value, "caption", kind, limit=1024, optional=True)
    text_of(value, "filename", kind, limit=240, optional=True)


def only(value: Body, allowed: set[str], where: str) -> None:
    """Refuse a key that Meta does not know here."""
    for name in value:
        if name not in allowed:
            raise wrong(f'Unexpected key "{name}" on param "{where}".')


def _one_of(name: str, known: str, got: object) -> str:
    return f'Param {name} must be one of {{{known}}} - got "{got}".'


def _text(value: Body) -> None:
    only(value, {"body", "preview_url"}, "text")
    text = text_of(value, "body", "text", limit=4096)
    if not text.strip():
        raise required("text['body']")
    if not isinstance(value.get("preview_url", False), bool):
        raise wrong("Param text['preview_url'] must be a boolean.")


def _location(value: Body) -> None:
    only(value, {"latitude", "longitude", "name", "address"}, "location")
    for name, bound in (("latitude", 90), ("longitude", 180)):
        if value.get(name) in (None, ""):
            raise required(f"location['{name}']")
        try:
            number = float(value[name])
        except (TypeError, ValueError):
            raise wrong(f"Param location['{name}'] must be a number.") from None
        if not -bound <= number <= bound:
            raise invalid(f"{name.capitalize()} must be between -{bound} and {bound}")
    text_of(value, "name", "location", limit=1000, optional=True)
    text_of(value, "address", "location", limit=1000, optional=True)


def _reaction(value: Body) -> None:
    only(value, {"message_id", "emoji"}, "reaction")
    text_of(value, "message_id", "reaction", limit=512)
    emoji = value.get("emoji")
    if not isinstance(emoji, str):
        raise required("reaction['emoji']")
    if len(emoji) > 16 or any(char.isascii() and char.isalpha() for char in emoji):
        raise invalid("Reaction must be one emoji.")


def _contacts(value: Any) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= 5:
        raise wrong("Param contacts must be an array of 1 to 5 contacts.")
    for index, card in enumerate(value):
        where = f"contacts[{index}]"
        if not isinstance(card, dict):
            raise wrong(f"Param {where} must be a JSON object.")
        only(card, {"addresses", "birthday", "emails", "name", "org", "phones", "urls"}, where)
        name = card.get("name")
        if not isinstance(name, dict):
            raise required(f"{where}['name']")
        parts = {"first_name", "formatted_name", "last_name", "middle_name", "prefix", "suffix"}
        only(name, parts, f"{where}['name']")
        text_of(name, "formatted_name", f"{where}['name']", limit=512)
        if not any(name.get(part) for part in parts - {"formatted_name"}):
            raise missing("Contact name needs at least one part besides formatted_name.")
        _card_lists(card, where)


def _card_lists(card: Body, where: str) -> None:
    for name, key in (("phones", "phone"), ("emails", "email"), ("urls", "url"), ("addresses", "")):
        rows = card.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise wrong(f"Param {where}['{name}'] must be an array of JSON objects.")
        for row in rows:
            if key and not row.get(key):
                raise required(f"{where}['{name}']['{key}']")
            if row.get("type") not in (None, "") and str(row["type"]).upper() not in _PLACES | {
                "CELL",
                "MAIN",
                "IPHONE",
                "WHATSAPP",
                "MOBILE",
            }:
                raise GraphError(131009, details=f"{where}['{name}'] has an unknown type.")
