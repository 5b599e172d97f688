"""Signed-in browsers, one row each, asked for on every request; its one rule: the cookie holds a token, the database only its hash."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import request
from flask import session as cookie
from flask_babel import gettext as _
from sqlalchemy import select, update

from whatalker.db import now, session, transaction
from whatalker.errors import NotFound
from whatalker.models import User, UserSession
from whatalker.services.enrolling import end_sessions_of

TOKEN = "browser"  # noqa: S105 - a name, no token
"""The name of the token in the signed cookie."""

IDLE, ABSOLUTE = timedelta(hours=12), timedelta(days=14)
STAFF_IDLE, STAFF_ABSOLUTE = timedelta(hours=1), timedelta(hours=12)
"""How long a browser stays signed in unused, and at all; the provider's own people see more, so theirs ends sooner."""

SEEN_EVERY = timedelta(minutes=1)
"""last_seen_at is written at most this often: looking at pages costs no write."""


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def start(user: User) -> UserSession:
    """Sign this browser in with a new token; the one it may have had before ends."""
    before = cookie.get(TOKEN)
    cookie[TOKEN] = token = secrets.token_urlsafe(32)
    browser = UserSession(
        user_id=user.id, token_hash=digest(token), ip=request.remote_addr or "", agent=request.user_agent.string[:300]
    )
    with transaction():
        if isinstance(before, str):
            session.execute(
                update(UserSession)
                .where(UserSession.token_hash == digest(before), UserSession.revoked_at.is_(None))
                .values(revoked_at=now())
            )
        session.add(browser)
    return browser


def find() -> tuple[UserSession, User] | None:
    """Whom this browser's cookie signs in, by one query; None when it was ended, is too old, or the person may not sign in."""
    token = cookie.get(TOKEN)
    if not isinstance(token, str):
        return None
    row = session.execute(
        select(UserSession, User)
        .join(User, User.id == UserSession.user_id)
        .where(UserSession.token_hash == digest(token), UserSession.revoked_at.is_(None), User.active)
        .execution_options(populate_existing=True)
    ).first()
    if row is None or not is_current(row[0], row[1], now()):
        return None
    return row[0], row[1]


def is_current(browser: UserSession, user: User, at: datetime) -> bool:
    idle, absolute = (STAFF_IDLE, STAFF_ABSOLUTE) if user.staff_role else (IDLE, ABSOLUTE)
    return (
        browser.revoked_at is None and at - browser.last_seen_at < idle and at - browser.created_at < absolute
    )


def mark_seen(browser: UserSession) -> None:
    """Note that the browser is in use; writes once a minute at most."""
    moment = now()
    if moment - browser.last_seen_at < SEEN_EVERY:
        return
    with transaction():
        browser.last_seen_at = moment
        browser.ip = request.remote_addr or ""


_PROGRAMS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux"))


def device(browser: UserSession) -> str:
    """What a person would call it, such as "Firefox, Windows"; the program's own words when it is none of the known."""
    found = [next((name for mark, name in known if mark in browser.agent), "") for known in (_PROGRAMS, _SYSTEMS)]
    return ", ".join(found) if all(found) else browser.agent[:80]


def of_person(user: User) -> Sequence[UserSession]:
    """Their signed-in browsers, the last used first."""
    found = session.scalars(
        select(UserSession)
        .where(UserSession.user_id == user.id, UserSession.revoked_at.is_(None))
        .order_by(UserSession.last_seen_at.desc())
    )
    moment = now()
    return [browser for browser in found if is_current(browser, user, moment)]


def end(user_id: uuid.UUID, browser_id: uuid.UUID | str) -> None:
    """End one browser of this person; NotFound when it is nobody's or somebody else's."""
    try:
        key = uuid.UUID(str(browser_id))
    except ValueError as error:
        raise NotFound(_("This session has already ended.")) from error
    if not end_sessions_of(user_id, UserSession.id == key):
        raise NotFound(_("This session has already ended."))


def end_all(user_id: uuid.UUID, but: uuid.UUID | None = None, only: uuid.UUID | None = None) -> int:
    """End every browser of this person, or all but one, or one; returns how many. Their open live pages ask again."""
    conditions = [UserSession.id != but] if but else [UserSession.id == only] if only else []
    return end_sessions_of(user_id, *conditions)
