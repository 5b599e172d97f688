"""Whose rows this transaction may see; its one rule: PostgreSQL enforces it, and no scope means no rows.

Every transaction sets, for itself only (SET LOCAL: a session-level SET would leak into the next checkout of the connection),
a database role that cannot bypass row-level security and the organization the policies read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from whatalker.db import session

APP_ROLE = "whatalker_app"
BACKOFFICE_ROLE = "whatalker_backoffice"

_SET = text(
    "select set_config('role', :role, true), set_config('app.org_id', :organization, true),"
    " set_config('app.user_id', :user, true), set_config('app.reason', :reason, true)"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One organization's rows, or, with a reason and read-only, the rows of all of them."""

    organization_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    reason: str = ""


NOBODY = Scope()
_scope: ContextVar[Scope] = ContextVar("scope", default=NOBODY)


def current() -> Scope:
    return _scope.get()


@contextmanager
def _within(scope: Scope) -> Iterator[None]:
    _write_pending()
    token = _scope.set(scope)
    try:
        _reapply()
        yield
        _write_pending()
    except BaseException:
        _scope.reset(token)
        # A transaction that PostgreSQL has already given up cannot take the setting back, and can read nothing either.
        with suppress(DBAPIError):
            _reapply()
        raise
    _scope.reset(token)
    _reapply()


@contextmanager
def as_organization(organization_id: uuid.UUID, user_id: uuid.UUID | None = None) -> Iterator[None]:
    """See and change the rows of this organization and no other; may be opened inside a running transaction."""
    with _within(Scope(organization_id=organization_id, user_id=user_id)):
        yield


@contextmanager
def as_user(user_id: uuid.UUID) -> Iterator[None]:
    """See one's own memberships and nothing else: the moment between signing in and choosing an organization."""
    with _within(Scope(user_id=user_id)):
        yield


@contextmanager
def across(reason: str, user_id: uuid.UUID | None = None) -> Iterator[None]:
    """Read the rows of all organizations, for a stated reason; the database refuses every write.

    A person's reason is audited by the face that opened this; a job's reason names the job.
    """
    if not reason.strip():
        raise ValueError("Reading across organizations needs a reason.")
    with _within(Scope(user_id=user_id, reason=reason)):
        yield


def enter(scope: Scope) -> None:
    """Set the scope for the rest of this request or job: what faces call once the person is known."""
    _scope.set(scope)
    _reapply()


def leave(scope: Scope = NOBODY) -> None:
    """Forget the scope without touching a running transaction: what faces call before the first query and after the last."""
    _scope.set(scope)


def _settings(scope: Scope) -> dict[str, str]:
    return {
        "role": BACKOFFICE_ROLE if scope.reason else APP_ROLE,
        "organization": str(scope.organization_id or ""),
        "user": str(scope.user_id or ""),
        "reason": scope.reason,
    }


def _write_pending() -> None:
    """What is pending belongs to the scope it was added in, also when its transaction has not begun yet."""
    running = session.registry()
    if running.new or running.dirty or running.deleted:
        running.flush()


def _reapply() -> None:
    """Change the scope of the transaction that is already running, if one is."""
    running = session.registry()
    transaction = running.get_transaction()
    if transaction is None or not transaction.is_active or not running.info.get("begun"):
        return
    # What is pending belongs to the scope in which it was written; the caller has not changed the database's yet.
    running.flush()
    running.connection().execute(_SET, _settings(_scope.get()))


@event.listens_for(Session, "after_begin")
def _apply(running: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        running.info["begun"] = True
        connection.execute(_SET, _settings(_scope.get()))


@event.listens_for(Session, "after_transaction_end")
def _forget(running: Session, ended: SessionTransaction) -> None:
    if ended.parent is None:
        running.info["begun"] = False
