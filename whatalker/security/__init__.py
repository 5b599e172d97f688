"""Who signs in, who they are and which doors open; its one rule: faces ask `actor()` and never read the cookie themselves."""

from __future__ import annotations

from flask import Flask

from whatalker.security import accounts, doorkeeper, forgery, headers, throttles
from whatalker.security.addresses import here, is_local, local_or, wants_fragment, wants_json, wants_page
from whatalker.security.doorkeeper import actor, recheck
from whatalker.security.guards import Guard, every_guard, guard, guard_of, public, signed_in
from whatalker.security.headers import csp_nonce, relax
from whatalker.security.readings import (
    begin_reading,
    choose_organization,
    end_reading,
    organizations_of,
    signed_in_user,
)

__all__ = [
    "Guard", "actor", "begin_reading", "choose_organization", "csp_nonce", "end_reading", "every_guard", "guard",
    "guard_of", "here", "is_local", "local_or", "organizations_of", "public", "recheck", "relax", "signed_in",
    "signed_in_user", "wants_fragment", "wants_json", "wants_page",
]  # fmt: skip


def init_app(app: Flask) -> None:
    """The order matters: the headers and the address first, then the door, then forgery, then Flask-Security's own views."""
    headers.init_app(app)
    doorkeeper.init_app(app)
    forgery.init_app(app)
    accounts.init_app(app)
    throttles.init_app(app)
    app.jinja_env.globals.update(current_actor=actor, allowed=lambda permission: permission in actor().permissions)
