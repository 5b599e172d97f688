"""The `template` part of a message: the values of header, body and buttons in Meta's order, positional or named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whatalker.channels.whatsapp.wording import number, required, text
from whatalker.errors import Invalid

__all__ = ["template"]


def template(content: Mapping[str, Any]) -> dict[str, Any]:
    """name, language and, where there are values, components; Meta counts and checks the values against the template."""
    part: dict[str, Any] = {
        "name": required(content, "name"),
        "language": {"policy": "deterministic", "code": required(content, "language")},
    }
    components = []
    if content.get("header"):
        components.append({"type": "header", "parameters": [_header(content["header"])]})
    if content.get("body"):
        components.append({"type": "body", "parameters": _values(content["body"])})
    components += [_button(button) for button in content.get("buttons") or []]
    if components:
        part["components"] = components
    return part


def _values(body: Any) -> list[dict[str, Any]]:
    if isinstance(body, Mapping):
        return [{"type": "text", "parameter_name": text(name), "text": text(value)} for name, value in body.items()]
    return [{"type": "text", "text": text(value)} for value in body]


def _header(header: Mapping[str, Any]) -> dict[str, Any]:
    kind = header.get("type")
    if kind == "text":
        value = {"type": "text", "text": required(header, "text")}
        if header.get("name"):
            value["parameter_name"] = text(header["name"])
        return value
    if kind in ("image", "video", "document"):
        return {"type": kind, kind: _file(header, kind)}
    if kind == "location":
        place: dict[str, Any] = {
            "latitude": number(header, "latitude", 90),
            "longitude": number(header, "longitude", 180),
        }
        place |= {name: text(header[name]) for name in ("name", "address") if header.get(name)}
        return {"type": "location", "location": place}
    raise Invalid(f"A template has no header of the type {kind}.", code="not_sendable")


def _file(header: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if header.get("media_id"):
        part = {"id": text(header["media_id"])}
    elif header.get("link"):
        part = {"link": text(header["link"])}
    else:
        raise Invalid(f"The template's header needs a file of the kind {kind}.", code="not_sendable", field="header")
    if kind == "document" and header.get("filename"):
        part["filename"] = text(header["filename"])
    return part


def _button(button: Mapping[str, Any]) -> dict[str, Any]:
    kind = button.get("type")
    if kind == "url":
        value = {"type": "text", "text": required(button, "text")}
    elif kind == "quick_reply":
        value = {"type": "payload", "payload": required(button, "payload")}
    elif kind == "copy_code":
        value = {"type": "coupon_code", "coupon_code": required(button, "code")}
    else:
        raise Invalid(f"A template has no button of the type {kind}.", code="not_sendable")
    try:
        index = int(button["index"])
    except (KeyError, TypeError, ValueError):
        raise Invalid("Each button of a template needs its place, counted from 0.", code="not_sendable") from None
    if not 0 <= index <= 9:
        raise Invalid("A template has at most ten buttons, counted from 0.", code="not_sendable")
    return {"type": "button", "sub_type": kind, "index": str(index), "parameters": [value]}
