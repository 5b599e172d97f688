"""Cross-site request forgery: every form carries a token; its one rule: only what a provider signs goes without."""

from __future__ import annotations

from flask import Flask, current_app, request
from flask_wtf.csrf import CSRFProtect

from whatalker.security.guards import guard_of

csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    # We ask ourselves, so that the exceptions are the declared guards and no second list.
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    # A token lives as long as its session: a form that was open over lunch still works.
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)
    csrf.init_app(app)
    app.before_request(_check)


def _check() -> None:
    if request.routing_exception is not None or request.endpoint is None:
        return
    guard = guard_of(current_app, request.endpoint)
    if current_app.config["WTF_CSRF_ENABLED"] and not (guard and guard.signed):
        csrf.protect()
