"""Browsers for tests: signed in by a session row as after a real sign-in, and with the CSRF token every form of ours carries."""

from __future__ import annotations

import secrets
import time
import uuid
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select

from tests.factories import PASSWORD
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import now, session, transaction
from whatalker.security import browsers


class Browser(FlaskClient):
    """Sends with every form the CSRF token that the page would have held, made from the cookie as it is then."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("method", "GET") not in ("GET", "HEAD", "OPTIONS"):
            with self.session_transaction() as cookie:
                raw = cookie.setdefault("csrf_token", secrets.token_hex(20))
            signer = URLSafeTimedSerializer(self.application.config["SECRET_KEY"], salt="wtf-csrf-token")
            self.environ_base["HTTP_X_CSRFTOKEN"] = str(signer.dumps(raw))
        return super().open(*args, **kwargs)


def anonymous(app: Flask) -> Browser:
    """A browser that is signed in as nobody."""
    return Browser(app, app.response_class)


def visit(app: Flask, who: Actor | m.User | uuid.UUID, *, reason: str = "", **columns: object) -> Browser:
    """A browser signed in as this person; `reason`: of the provider's own people, reading across organizations."""
    user_id = who if isinstance(who, uuid.UUID) else who.user_id if isinstance(who, Actor) else who.id
    client, token = anonymous(app), secrets.token_urlsafe(32)
    with app.app_context(), transaction():
        user = session.scalar(select(m.User).where(m.User.id == user_id))
        assert user is not None
        uniquifier = user.fs_uniquifier
        values = {"ip": "127.0.0.1", "agent": "Test browser", "token_hash": browsers.digest(token), "user_id": user_id}
        if reason:
            values |= {"reason": reason, "reason_until": now() + timedelta(hours=1)}
        session.add(m.UserSession(**values | columns))
    with client.session_transaction() as cookie:
        cookie |= {"_user_id": uniquifier, "_fresh": True, "fs_paa": time.time(), browsers.TOKEN: token}
    return client


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login", data={"email": email, "password": password, **more})
