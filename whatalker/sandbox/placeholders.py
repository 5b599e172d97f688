"""Filling an approved template: its parameters must match the stored components exactly, or Meta's 132xxx answers."""

import re
from typing import Any

from .refusals import GraphError, invalid, missing, required, wrong

VARIABLE = re.compile(r"\{\{\s*([a-zA-Z0-9_]+)\s*\}\}")
_RUDE_SPACE = re.compile(r"[\n\t]| {5,}")
MEDIA_FORMATS = {"IMAGE": "image", "VIDEO": "video", "DOCUMENT": "document"}
BUTTONS = {"quick_reply": "QUICK_REPLY", "url": "URL", "copy_code": "COPY_CODE"}

Component = dict[str, Any]


def variables(text: str) -> list[str]:
    """The distinct variables of a text in order of appearance: ['1', '2'] or ['first_name']."""
    return list(dict.fromkeys(VARIABLE.findall(text)))


def part(template: dict[str, Any], kind: str) -> Component:
    """The stored component of one type, or an empty one."""
    return next((found for found in template["components"] if found["type"] == kind), {})


def check_fill(template: dict[str, Any], given: Any) -> dict[str, Any]:
    """What a phone shows for this template with these `components`, in four parts. Refuses any mismatch."""
    if given is None:
        given = []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise wrong("Param template['components'] must be an array of JSON objects.")
    found: dict[str, Component] = {}
    buttons: dict[int, Component] = {}
    for one in given:
        kind = str(one.get("type", "")).lower()
        if kind == "button":
            buttons[_index(one)] = one
        elif kind in ("header", "body"):
            found[kind] = one
        else:
            raise wrong(
                f"Param template['components']['type'] must be one of {{HEADER, BODY, BUTTON}} - got \"{kind}\"."
            )
    header = _fill_header(part(template, "HEADER"), _parameters(found.get("header"), "header"))
    body = _fill_text(part(template, "BODY").get("text", ""), _parameters(found.get("body"), "body"), "body")
    if len(body) > 1024:
        raise GraphError(132005, details=f"body: translated text is {len(body)} characters, at most 1024 are allowed")
    return {
        "header": header,
        "body": body,
        "footer": part(template, "FOOTER").get("text", ""),
        "buttons": _fill_buttons(part(template, "BUTTONS").get("buttons", []), buttons),
    }


def _parameters(component: Component | None, where: str) -> list[Component]:
    rows = (component or {}).get("parameters") or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise wrong(f"Param template['components'][{where}]['parameters'] must be an array of JSON objects.")
    return rows


def _index(component: Component) -> int:
    try:
        index = int(component.get("index", ""))
    except (TypeError, ValueError):
        raise required("template['components']['index']") from None
    if not 0 <= index <= 9:
        raise invalid("Button index must be between 0 and 9.")
    return index


def _value(row: Component, where: str) -> str:
    kind = str(row.get("type", "")).lower()
    if kind == "text":
        text = row.get("text")
        if isinstance(text, bool | int | float):
            text = str(text)
        if not isinstance(text, str) or not text:
            raise missing(f"{where}: Parameter of type text is missing text value")
        if _RUDE_SPACE.search(text):
            raise GraphError(
                132018, details="Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
            )
        return text
    if kind in ("currency", "date_time"):
        inner = row.get(kind)
        if not isinstance(inner, dict) or not inner.get("fallback_value"):
            raise missing(f"{where}: Parameter of type {kind} is missing fallback_value")
        return str(inner["fallback_value"])
    raise GraphError(132012, details=f"{where}: Format mismatch, expected TEXT, received {kind.upper() or 'UNKNOWN'}")


def _fill_text(text: str, rows: list[Component], where: str) -> str:
    wanted = variables(text)
    if len(rows) != len(wanted):
        raise GraphError(
            132000,
            details=f"{where}: number of localizable_params ({len(rows)}) does not match the expected number of "
            f"params ({len(wanted)})",
        )
    if wanted and not wanted[0].isdigit():
        values: dict[str, str] = {}
        for row in rows:
            name = row.get("parameter_name")
            if name not in wanted:
                raise GraphError(132012, details=f"{where}: Parameter name is missing or unknown: {name}")
            values[name] = _value(row, where)
        if len(values) < len(wanted):
            raise GraphError(132012, details=f"{where}: Parameter given twice")
    else:
        values = {str(number): _value(row, where) for number, row in enumerate(rows, 1)}
    return VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


def _fill_header(header: Component, rows: list[Component]) -> dict[str, Any] | None:
    form = header.get("format")
    if not header:
        if rows:
            raise GraphError(
                132000,
                details=f"header: number of localizable_params ({len(rows)}) does not match the "
                "expected number of params (0)",
            )
        return None
    if form == "TEXT":
        return {"type": "text", "text": _fill_text(header["text"], rows, "header")}
    got = str(rows[0].get("type", "unknown")).upper() if len(rows) == 1 else "UNKNOWN"
    if got != form:
        raise GraphError(132012, details=f"header: Format mismatch, expected {form}, received {got}")
    kind = got.lower()
    value = rows[0].get(kind)
    if not isinstance(value, dict):
        raise missing(f"header: Parameter of type {kind} is missing its object")
    if form == "LOCATION":
        if value.get("latitude") is None or value.get("longitude") is None:
            raise missing("header: location needs latitude and longitude")
    elif bool(value.get("id")) == bool(value.get("link")):
        raise missing(f"header: exactly one of id and link is required for {kind}")
    return {"type": kind, kind: value}


def _fill_buttons(stored: list[Component], given: dict[int, Component]) -> list[dict[str, Any]]:
    for index, one in given.items():
        if index >= len(stored):
            raise GraphError(132000, details=f"buttons: there is no button at index {index}")
        sub_type = str(one.get("sub_type", "")).lower()
        if not _same_kind(sub_type, stored[index]):
            raise GraphError(
                132012,
                details=f"buttons: Button at index {index} is of type {stored[index]['type']}, received {sub_type}",
            )
    return [_fill_button(button, given.get(index), index) for index, button in enumerate(stored)]


def _same_kind(sub_type: str, button: Component) -> bool:
    return button["type"] == BUTTONS.get(sub_type, sub_type.upper()) or (button["type"] == "OTP" and sub_type == "url")


def _fill_button(button: Component, given: Component | None, index: int) -> dict[str, Any]:
    shown = {"type": button["type"], "text": button.get("text", "")}
    rows = _parameters(given, f"button {index}")
    first = rows[0] if rows else {}
    if button["type"] == "QUICK_REPLY":
        shown["payload"] = str(first.get("payload") or button.get("text", ""))
    elif button["type"] == "URL":
        shown["url"] = button["url"]
        if variables(button["url"]):
            if not rows:
                raise missing(f"buttons: Button at index {index} of type Url requires a parameter")
            filling = _value(first, f"button {index}")
            shown["url"] = VARIABLE.sub(lambda match: filling, button["url"])
    elif button["type"] == "COPY_CODE":
        code = first.get("coupon_code") or first.get("text")
        if not code:
            raise missing(f"buttons: Button at index {index} of type Copy_code requires a coupon code")
        if len(str(code)) > 15:
            raise invalid("Coupon code length invalid. Min length: 1, Max length: 15")
        shown["code"] = str(code)
    elif button["type"] == "OTP":
        if not rows:
            raise missing(f"buttons: Button at index {index} of type Url requires a parameter")
        shown |= {"type": "COPY_CODE", "code": _value(first, f"button {index}")}
    elif button["type"] == "PHONE_NUMBER":
        shown["phone_number"] = button["phone_number"]
    return shown
