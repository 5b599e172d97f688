"""Which addresses a person may be sent on to, and what kind of answer a caller expects; its one rule: only paths of our own."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import request

_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)
"""A slash, then no second one and no backslash anywhere, no spaces, no control characters."""


def is_local(address: str | None) -> bool:
    """Whether the address is a path on this very site: `//host`, `/\\host`, schemes and control characters are not."""
    return bool(address) and len(address or "") <= 2000 and _LOCAL.fullmatch(address or "") is not None


def local_or(address: str | None, otherwise: str) -> str:
    return address if address and is_local(address) else otherwise


def here() -> str:
    """Where to come back to after a detour: this page, or for a form the page it was on."""
    if request.method in ("GET", "HEAD"):
        path = request.full_path.removesuffix("?")
    else:
        came_from = urlsplit(request.referrer or "")
        path = came_from.path + (f"?{came_from.query}" if came_from.query else "")
    return local_or(path, "/")


def wants_json() -> bool:
    """A program is asking: it sends or accepts JSON, and not pages."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return request.is_json or (best == "application/json" and not request.accept_mimetypes.accept_html)


def wants_fragment() -> bool:
    """htmx is asking: it will put the answer into the page that is open."""
    return request.headers.get("HX-Request") == "true"


def wants_page() -> bool:
    return not (wants_json() or wants_fragment() or request.accept_mimetypes.best == "text/event-stream")
