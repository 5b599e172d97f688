"""What a new template must look like before it may wait for review; refusals carry Meta's subcodes and user texts."""

import re
from typing import Any

from .placeholders import variables
from .refusals import GraphError, required

CATEGORIES = {"UTILITY", "MARKETING", "AUTHENTICATION"}
FORMATS = {"TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION"}
BUTTON_TYPES = {"QUICK_REPLY", "URL", "PHONE_NUMBER", "COPY_CODE", "OTP", "FLOW", "CATALOG", "MPM", "VOICE_CALL"}
_NAME = re.compile(r"[a-z0-9_]{1,512}\Z")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2,3})?\Z")


def refused(title: str, message: str, subcode: int = 2388042) -> GraphError:
    """A refusal of a template as Meta words it for people."""
    return GraphError(100, "Invalid parameter", subcode=subcode, user_title=title, user_message=message)


def check_new(body: dict[str, Any]) -> dict[str, Any]:
    """The template as it is stored: types and formats in upper case. Raises the first refusal found."""
    for name in ("name", "language", "category", "components"):
        if not body.get(name):
            raise required(name)
    if not (isinstance(body["name"], str) and _NAME.match(body["name"])):
        raise refused("Invalid name", "Template names take lower-case letters, digits and underscores only.", 2388073)
    if not (isinstance(body["language"], str) and _LANGUAGE.match(body["language"])):
        raise refused("Invalid language", "The language code is not supported.", 2388001)
    category = str(body["category"]).upper()
    if category not in CATEGORIES:
        raise refused("Invalid category", "Category must be UTILITY, MARKETING or AUTHENTICATION.", 2388025)
    named = str(body.get("parameter_format", "POSITIONAL")).upper() == "NAMED"
    return {
        "name": body["name"],
        "language": body["language"],
        "category": category,
        "parameter_format": "NAMED" if named else "POSITIONAL",
        "components": check_components(body["components"], category),
    }


def check_components(components: Any, category: str) -> list[dict[str, Any]]:
    """Components in stored form: at most one of each type, one of them a body."""
    if not isinstance(components, list) or not all(isinstance(one, dict) for one in components):
        raise refused("Components missing", "Components must be a list of objects.")
    stored = [{**one, "type": str(one.get("type", "")).upper()} for one in components]
    kinds = [one["type"] for one in stored]
    if len(set(kinds)) < len(kinds) or not set(kinds) <= {"HEADER", "BODY", "FOOTER", "BUTTONS"}:
        raise refused(
            "Unexpected components", "A template has one body and at most one header, footer and button block."
        )
    if "BODY" not in kinds:
        raise refused("Body missing", "A template needs a body.")
    for one in stored:
        {"HEADER": _header, "BODY": _body, "FOOTER": _footer, "BUTTONS": _buttons}[one["type"]](one, category)
    return stored


def _texts(component: dict[str, Any], most: int) -> str:
    text = component.get("text")
    what = component["type"].capitalize()
    if not isinstance(text, str) or not text.strip():
        raise refused(f"{what} text missing", f"{what} needs a text.")
    if len(text) > most:
        raise refused(f"{what} too long", f"{what} text may have at most {most} characters.", 2388040)
    return text


def _examples(component: dict[str, Any], key: str, count: int) -> None:
    example = component.get("example")
    rows = example.get(key) if isinstance(example, dict) else None
    named = example.get(f"{key}_named_params") if isinstance(example, dict) else None
    values = named if isinstance(named, list) else rows
    if key == "body_text" and isinstance(rows, list) and rows and isinstance(rows[0], list):
        values = rows[0]
    if not isinstance(values, list) or len(values) != count:
        raise refused(
            "Example missing",
            f"{component['type'].capitalize()} has {count} variables and needs as many examples.",
            2388043,
        )


def _numbered(names: list[str]) -> None:
    digits = [name.isdigit() for name in names]
    if any(digits) and (not all(digits) or [int(name) for name in names] != list(range(1, len(names) + 1))):
        raise refused(
            "Variables out of order", "Variables must be {{1}}, {{2}} … in order, or all have names.", 2388299
        )


def _header(component: dict[str, Any], category: str) -> None:
    component["format"] = str(component.get("format", "TEXT")).upper()
    if component["format"] not in FORMATS:
        raise refused("Unknown header", "The header must be a text, an image, a video, a document or a location.")
    if component["format"] == "TEXT":
        names = variables(_texts(component, 60))
        if len(names) > 1:
            raise refused("Too many variables", "A header takes one variable.", 2388047)
        if names:
            _examples(component, "header_text", 1)
    elif component["format"] != "LOCATION" and not (component.get("example") or {}).get("header_handle"):
        raise refused("Example missing", "A media header needs an example in header_handle.", 2388273)


def _body(component: dict[str, Any], category: str) -> None:
    if category == "AUTHENTICATION" and not component.get("text"):
        component["text"] = "*{{1}}* is your verification code."
        if component.get("add_security_recommendation"):
            component["text"] += " For your security, do not share this code."
        return
    text = _texts(component, 1024)
    names = variables(text)
    _numbered(names)
    stripped = text.strip()
    if names and (stripped.startswith("{{") or stripped.endswith("}}")):
        raise refused("Variable at the edge", "Variables can't be at the start or end of the template.", 2388299)
    if names:
        _examples(component, "body_text", len(names))


def _footer(component: dict[str, Any], category: str) -> None:
    if category == "AUTHENTICATION" and not component.get("text"):
        component["text"] = f"This code expires in {component.get('code_expiration_minutes', 10)} minutes."
        return
    if variables(_texts(component, 60)):
        raise refused("Variable in footer", "A footer takes no variables.")


def _buttons(component: dict[str, Any], category: str) -> None:
    buttons = component.get("buttons")
    if (
        not isinstance(buttons, list)
        or not 1 <= len(buttons) <= 10
        or not all(isinstance(one, dict) for one in buttons)
    ):
        raise refused("Wrong number of buttons", "A template takes 1 to 10 buttons.")
    for button in buttons:
        button["type"] = str(button.get("type", "")).upper()
        if button["type"] not in BUTTON_TYPES:
            raise refused("Unknown button", "This type of button is not supported.")
        if button["type"] not in ("COPY_CODE", "OTP"):
            label = button.get("text")
            if not isinstance(label, str) or not 1 <= len(label) <= 25:
                raise refused("Button text", "A button needs a text of at most 25 characters.", 2388040)
        if button["type"] == "URL" and not str(button.get("url", "")).lower().startswith(("http://", "https://")):
            raise refused("Button url", "A URL button needs a URL that begins with https://.")
        if button["type"] == "PHONE_NUMBER" and not button.get("phone_number"):
            raise refused("Button phone number", "A phone button needs a phone number.")
        if button["type"] == "OTP":
            button.setdefault("text", "Copy code")
        if button["type"] == "COPY_CODE":
            button["text"] = button.get("text") or "Copy offer code"
