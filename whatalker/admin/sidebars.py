"""What the sidebar shows: the pages this person may open, in groups; its one rule: a page that would refuse is not offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request
from flask_admin import Admin
from flask_babel import lazy_gettext as _l

from whatalker.admin.base import Page

GROUPS = {
    "work": _l("Work"),
    "people": _l("People"),
    "messages": _l("Messages"),
    "settings": _l("Settings"),
    "provider": _l("Provider"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    title: Any
    url: str
    active: bool


def sidebar(admin: Admin) -> list[tuple[Any, list[Entry]]]:
    groups: list[tuple[Any, list[Entry]]] = []
    for key, title in GROUPS.items():
        entries = [
            Entry(page.title, page.get_url(f"{page.endpoint}.{page._default_view}"), request.blueprint == page.endpoint)
            for page in admin._views
            if isinstance(page, Page) and page.group == key and page.is_accessible()
        ]
        if entries:
            groups.append((title, entries))
    return groups
