"""How often someone may try to sign in; its one rule: the limit is asked before a password is hashed, and it never tells accounts apart.

Counted on Redis for all processes; while Redis is away each process counts for itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from flask import Flask, request
from flask import session as cookie
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

limiter = Limiter(
    key_func=get_remote_address,
    strategy="moving-window",
    in_memory_fallback_enabled=True,
    key_prefix="throttle",
    swallow_errors=False,
)


def by_account() -> str:
    """The account that is tried, whether it exists or not; never written in clear."""
    name = request.form.get("email", "").strip().casefold() or str(cookie.get("tf_user_id") or cookie.get("_user_id") or "")
    return hashlib.sha256(name.encode()).hexdigest()[:32] if name else get_remote_address()


LIMITS: dict[str, tuple[str, str]] = {
    "security.login": ("30 per minute; 300 per hour", "10 per 5 minutes; 40 per hour"),
    "security.two_factor_token_validation": ("30 per minute", "10 per 5 minutes; 30 per hour"),
    "security.mf_recovery": ("20 per minute", "6 per 15 minutes"),
    "security.forgot_password": ("10 per minute; 60 per hour", "4 per 15 minutes"),
    "security.reset_password": ("20 per minute", "20 per minute"),
    "security.verify": ("30 per minute", "10 per 5 minutes"),
    "security.change_password": ("30 per minute", "10 per 5 minutes"),
    "security.two_factor_setup_validate": ("30 per minute", "10 per 5 minutes"),
}
"""Of the views of Flask-Security, posts only: how often by address, and how often by account."""


def init_app(app: Flask) -> None:
    app.config.setdefault("RATELIMIT_STORAGE_OPTIONS", {"socket_connect_timeout": 1, "socket_timeout": 2})
    limiter.init_app(app)
    for endpoint, (by_ip, per_account) in LIMITS.items():
        app.view_functions[endpoint] = limited(by_ip, per_account)(app.view_functions[endpoint])  # type: ignore[assignment]


def limited(by_ip: str, per_account: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Limit the posts of a view by address and by account; 429 before the view is entered."""

    def wrap(view: Callable[..., object]) -> Callable[..., object]:
        inner = limiter.limit(per_account, key_func=by_account, methods=["POST"])(view)
        return limiter.limit(by_ip, methods=["POST"])(inner)  # type: ignore[no-any-return]

    return wrap
