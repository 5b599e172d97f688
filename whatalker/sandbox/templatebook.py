"""The templates of each business account: who may be sent, what is under review, and the pages of the list."""

import base64
import secrets
from collections.abc import Callable
from typing import Any

from .components import check_components, check_new, refused
from .refusals import GraphError, required, unknown_object, wrong
from .shipped import shipped_templates

Template = dict[str, Any]
FIELDS = ("name", "parameter_format", "components", "language", "status", "category", "id")
MORE_FIELDS = ("quality_score", "rejected_reason", "previous_category", "sub_category")


class TemplateBook:
    """All templates by business account; `announce(template, event, reason)` is called when a review ends."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Template]] = {}
        self._by_key: dict[tuple[str, str, str], Template] = {}

    def ship(self, waba_id: str) -> None:
        """Give a business account the shipped templates, in place of any it had."""
        self.rows[waba_id] = []
        for template in shipped_templates():
            self._add(waba_id, template)

    def load(self, rows: dict[str, list[Template]]) -> None:
        """Take templates as `dump` gave them."""
        self.rows = rows
        self._index()

    def _index(self) -> None:
        self._by_key = {(waba, row["name"], row["language"]): row for waba, rows in self.rows.items() for row in rows}

    def _add(self, waba_id: str, template: Template) -> Template:
        template = {"parameter_format": "POSITIONAL", "quality": "UNKNOWN", "rejected_reason": "NONE"} | template
        template |= {"id": str(10**15 + secrets.randbelow(9 * 10**15)), "waba_id": waba_id}
        self.rows.setdefault(waba_id, []).append(template)
        self._by_key[(waba_id, template["name"], template["language"])] = template
        return template

    def sendable(self, waba_id: str, value: Any) -> Template:
        """The approved template that a message names; every other state has its own code."""
        if not isinstance(value.get("name"), str) or not value["name"]:
            raise required("template['name']")
        language = value.get("language")
        code = language.get("code") if isinstance(language, dict) else None
        if not isinstance(code, str) or not code:
            raise required("template['language']['code']")
        policy = language.get("policy", "deterministic")
        if policy != "deterministic":
            raise wrong(f"Param template['language']['policy'] must be one of {{DETERMINISTIC}} - got \"{policy}\".")
        template = self._by_key.get((waba_id, value["name"], code))
        status = template["status"] if template else ""
        if status == "PAUSED":
            raise GraphError(132015, details="Template is paused due to low quality, so it cannot be sent.")
        if status == "DISABLED":
            raise GraphError(132016, details="Template has been paused too many times and is now disabled.")
        if template is None or status != "APPROVED":
            raise GraphError(132001, details=f"template name ({value['name']}) does not exist in {code}")
        return template

    def named(self, waba_id: str, name: str, language: str | None = None) -> Template:
        """One template by name, of the first language when none is given."""
        for row in self.rows.get(waba_id, []):
            if row["name"] == name and language in (None, row["language"]):
                return row
        raise GraphError(100, f"(#100) There is no template {name}.", subcode=2593002)

    def by_id(self, template_id: str) -> Template | None:
        """One template by Meta's id."""
        return next((row for rows in self.rows.values() for row in rows if row["id"] == template_id), None)

    def create(self, waba_id: str, body: Template) -> Template:
        """Store a new template as PENDING; `review` decides it later."""
        template = check_new(body)
        if (waba_id, template["name"], template["language"]) in self._by_key:
            raise refused(
                "Content in this language already exists",
                "There is already content in this language for this template.",
                2388024,
            )
        return self._add(waba_id, template | {"status": "PENDING"})

    def edit(self, template: Template, body: Template) -> None:
        """Replace the components of a template that is not under review; it goes back to PENDING."""
        if template["status"] == "PENDING":
            raise refused("Template can't be edited", "A template under review can't be edited.", 2388023)
        template["components"] = check_components(body.get("components"), template["category"])
        template["status"] = "PENDING"

    def review(self, template: Template, announce: Callable[[Template, str, str], None]) -> None:
        """End the review: the word rejectme rejects, pendingme never ends, the rest is approved."""
        text = template["name"] + " " + " ".join(str(one.get("text", "")) for one in template["components"])
        if "pendingme" in text.lower() or template["status"] != "PENDING":
            return
        if "rejectme" in text.lower():
            template |= {"status": "REJECTED", "rejected_reason": "INVALID_FORMAT"}
        else:
            template |= {"status": "APPROVED", "rejected_reason": "NONE"}
        announce(template, template["status"], template["rejected_reason"])

    def delete(self, waba_id: str, name: str | None, template_id: str | None) -> None:
        """Delete every language of a name, or one template when its id is given too."""
        if not name:
            raise required("name")
        rows = self.rows.get(waba_id, [])
        gone = [row for row in rows if row["name"] == name and template_id in (None, row["id"])]
        if not gone:
            raise GraphError(
                100,
                "Invalid parameter",
                subcode=2593002,
                user_title="Message template was not found",
                user_message=f"There is no template with name {name}.",
            )
        self.rows[waba_id] = [row for row in rows if row not in gone]
        self._index()

    def page(self, waba_id: str, query: dict[str, str], link: str) -> dict[str, Any]:
        """One page of the list as Meta answers it, filtered by name, status, category and language."""
        rows = [row for row in self.rows.get(waba_id, []) if _fits(row, query)]
        try:
            limit = min(max(int(query.get("limit", 25)), 1), 1000)
        except ValueError:
            raise wrong("Param limit must be an integer.") from None
        start, end = _position(query.get("after"), 0), len(rows)
        if "before" in query:
            end = _position(query["before"], len(rows))
            start = max(0, end - limit)
        shown = rows[start : min(start + limit, end)]
        wanted = query["fields"].split(",") if query.get("fields") else list(FIELDS)
        answer: dict[str, Any] = {"data": [view(row, wanted) for row in shown]}
        if shown:
            last = start + len(shown)
            answer["paging"] = {"cursors": {"before": _cursor(start), "after": _cursor(last)}}
            if last < len(rows):
                answer["paging"]["next"] = f"{link}?limit={limit}&after={_cursor(last)}"
            if start > 0:
                answer["paging"]["previous"] = f"{link}?limit={limit}&before={_cursor(start)}"
        return answer


def view(template: Template, fields: list[str]) -> dict[str, Any]:
    """The asked fields of a template in Meta's shape; id is always there."""
    full = template | {"quality_score": {"score": template["quality"], "date": template.get("quality_at", 0)}}
    return {name: full[name] for name in fields if name in FIELDS + MORE_FIELDS and name in full} | {
        "id": template["id"]
    }


def _fits(row: Template, query: dict[str, str]) -> bool:
    name = query.get("name") or query.get("name_or_content") or ""
    if name and name.lower() not in row["name"]:
        return False
    return all(row[key] in query[key].upper().split(",") for key in ("status", "category") if query.get(key)) and (
        not query.get("language") or row["language"] == query["language"]
    )


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def _position(cursor: str | None, default: int) -> int:
    if not cursor:
        return default
    try:
        return max(0, int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except ValueError:
        raise wrong("Invalid cursors values.") from None


def find_or_refuse(book: TemplateBook, template_id: str) -> Template:
    """A template by id, or Meta's answer for an unknown object."""
    found = book.by_id(template_id)
    if found is None:
        raise unknown_object(template_id)
    return found
