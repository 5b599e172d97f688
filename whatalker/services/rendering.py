"""A template and its values as the message that is sent and the text that is read; its one rule: substitution over text, no language.

Values are a flat mapping, as a form gives it: `body_1` or `body_first_name`, `header_1`, `header_link`, `button_0` …, or the same
nested by part: {"body": {"1": …}}. template_fields() lists the keys a template needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from whatalker import models as m
from whatalker.errors import Invalid

HOLE = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,60})\s*\}\}")
NOT_IN_A_VALUE = re.compile(r"[\n\r\t]| {5,}")
"""Meta refuses a value with these (132018)."""

FREE = frozenset({"header_link", "header_filename", "header_name", "header_address"})

MEDIA = ("image", "video", "document")


@dataclass(frozen=True, slots=True)
class TemplateField:
    """One value a template needs, for a form."""

    key: str
    label: str
    example: str = ""
    kind: str = "text"
    """text, link (of a file), number, or code."""
    required: bool = True


def template_fields(template: m.Template) -> list[TemplateField]:
    """Every value it needs, in the order of reading; empty for a template without variables."""
    fields: list[TemplateField] = []
    for part in _parts(template):
        kind = _word(part, "type")
        if kind == "HEADER":
            fields += _header_fields(part)
        elif kind == "BODY":
            names, examples = _holes(part.get("text")), _examples(part)
            fields += [TemplateField(f"body_{name}", f"{{{{{name}}}}}", examples.get(name, "")) for name in names]
        elif kind == "BUTTONS":
            fields += list(_button_fields(part))
    return fields


def render_template(template: m.Template, values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The content of a message of the kind template, and its text as the contact reads it. Invalid names every missing value."""
    given = _flat(values)
    missing = [field for field in template_fields(template) if field.required and not given.get(field.key, "").strip()]
    if missing:
        labels = ", ".join(field.label for field in missing)
        raise Invalid(_("Fill in: %(labels)s", labels=labels), "template_values", missing=[field.key for field in missing])
    for key, value in given.items():
        if key not in FREE and NOT_IN_A_VALUE.search(value):
            raise Invalid(
                _("A value may not hold line breaks, tabs or more than four spaces in a row."), "template_values", field=key
            )
    content: dict[str, Any] = {"name": template.name, "language": template.language, "header": None, "body": [], "buttons": []}
    said = []
    for part in _parts(template):
        kind = _word(part, "type")
        if kind == "HEADER":
            content["header"] = _header(part, given)
            said.append(_filled(part.get("text"), lambda name: given[f"header_{name}"]))
        elif kind == "BODY":
            names = _holes(part.get("text"))
            named = any(not name.isdigit() for name in names)
            content["body"] = {name: given[f"body_{name}"] for name in names} if named else [given[f"body_{n}"] for n in names]
            said.append(_filled(part.get("text"), lambda name: given[f"body_{name}"]))
        elif kind == "FOOTER":
            said.append(str(part.get("text") or ""))
        elif kind == "BUTTONS":
            content["buttons"] = list(_buttons(part, given))
    return content, "\n".join(filter(None, said))


def _parts(template: m.Template) -> Iterator[Mapping[str, Any]]:
    return (part for part in template.components or [] if isinstance(part, Mapping))


def _word(part: Mapping[str, Any], key: str) -> str:
    return str(part.get(key) or "").upper()


def _holes(text: Any) -> list[str]:
    """The names of the variables in the order in which they are counted: numbers by number, names by appearance."""
    found = list(dict.fromkeys(HOLE.findall(str(text or ""))))
    return sorted(found, key=int) if all(name.isdigit() for name in found) else found


def _filled(text: Any, value: Any) -> str:
    return HOLE.sub(lambda hole: str(value(hole[1])), str(text or ""))


def _examples(part: Mapping[str, Any]) -> dict[str, str]:
    example = part.get("example")
    if not isinstance(example, Mapping):
        return {}
    named = example.get("body_text_named_params")
    if isinstance(named, Sequence):
        return {str(one.get("param_name")): str(one.get("example")) for one in named if isinstance(one, Mapping)}
    rows = example.get("body_text")
    first = rows[0] if isinstance(rows, Sequence) and rows and isinstance(rows[0], Sequence) else rows or []
    return {str(n): str(value) for n, value in enumerate(first, 1)} if not isinstance(first, str) else {"1": first}


def _header_fields(part: Mapping[str, Any]) -> list[TemplateField]:
    form = _word(part, "format") or "TEXT"
    if form == "TEXT":
        return [TemplateField(f"header_{name}", f"{{{{{name}}}}}") for name in _holes(part.get("text"))]
    if form == "LOCATION":
        return [
            TemplateField("header_latitude", _("Latitude"), kind="number"),
            TemplateField("header_longitude", _("Longitude"), kind="number"),
            TemplateField("header_name", _("Name of the place"), required=False),
            TemplateField("header_address", _("Address"), required=False),
        ]
    if form.lower() in MEDIA:
        return [TemplateField("header_link", _("Link of the file"), kind="link")]
    return []


def _header(part: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any] | None:
    form = (_word(part, "format") or "TEXT").lower()
    if form == "text":
        names = _holes(part.get("text"))
        if not names:
            return None
        header = {"type": "text", "text": given[f"header_{names[0]}"]}
        return header if names[0].isdigit() else header | {"name": names[0]}
    prefix = "header_"
    told = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix) and value.strip()}
    if form == "location":
        try:
            place: dict[str, Any] = {name: float(told[name]) for name in ("latitude", "longitude")}
        except ValueError:
            raise Invalid(_("Latitude and longitude are numbers."), "template_values", field="header_latitude") from None
        return {"type": "location"} | place | {name: told[name] for name in ("name", "address") if name in told}
    if told.get("media_id"):
        told.pop("link", None)
    return {"type": form} | {name: told[name] for name in ("link", "media_id", "filename") if name in told}


def _button_fields(part: Mapping[str, Any]) -> Iterator[TemplateField]:
    for n, button in _counted(part):
        kind, label = _word(button, "type"), str(button.get("text") or "")
        if kind == "URL" and _holes(button.get("url")):
            example = button.get("example")
            first = str(example[0]) if isinstance(example, Sequence) and example and not isinstance(example, str) else ""
            yield TemplateField(f"button_{n}", label, first)
        elif kind == "COPY_CODE":
            yield TemplateField(f"button_{n}", label or _("Code to copy"), kind="code")


def _buttons(part: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for n, button in _counted(part):
        kind, value = _word(button, "type"), given.get(f"button_{n}", "")
        if kind == "URL" and _holes(button.get("url")):
            yield {"index": n, "type": "url", "text": value}
        elif kind == "OTP":
            # A login code is sent twice: once to read, once in its button.
            yield {"index": n, "type": "url", "text": value or given.get("body_1", "")}
        elif kind == "COPY_CODE":
            yield {"index": n, "type": "copy_code", "code": value}
        elif kind == "QUICK_REPLY" and value:
            yield {"index": n, "type": "quick_reply", "payload": value}


def _counted(part: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((n, one) for n, one in enumerate(part.get("buttons") or []) if isinstance(one, Mapping))


def _flat(values: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        stem = "button" if key == "buttons" else key
        if isinstance(value, Mapping):
            flat |= {f"{stem}_{name}": str(inner) for name, inner in value.items() if inner is not None}
        elif isinstance(value, list | tuple):
            start = 0 if stem == "button" else 1  # Meta counts buttons from 0 and variables from 1
            flat |= {f"{stem}_{n}": str(inner) for n, inner in enumerate(value, start) if inner is not None}
        elif value is not None:
            flat["header_1" if key == "header" else key] = str(value)
    return flat
