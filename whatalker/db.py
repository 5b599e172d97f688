"""The one session, the base of every model and the transaction; its one rule: only faces and jobs open `transaction()`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC as TIMEZONE_UTC
from datetime import datetime
from typing import TYPE_CHECKING, Any

import uuid6
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, MetaData, TypeDecorator, Uuid, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction, mapped_column, registry

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UTC(TypeDecorator[datetime]):
    """A moment with a time zone, stored and returned in UTC; a naive datetime is refused, for it says no moment."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("A moment needs a time zone; use whatalker.db.now() or an aware datetime.")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(TIMEZONE_UTC) if value is not None else None


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    registry = registry(
        metadata=metadata, type_annotation_map={datetime: UTC(), uuid.UUID: Uuid(), dict[str, Any]: JSONB()}
    )


db = SQLAlchemy(
    model_class=Base,
    # Without hide_parameters an error would carry what people typed into the log.
    engine_options={
        "pool_size": 10, "max_overflow": 20, "pool_pre_ping": True, "hide_parameters": True,
        "connect_args": {"connect_timeout": 5},
    },
    session_options={"expire_on_commit": False},
)  # fmt: skip
session = db.session

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(TIMEZONE_UTC)


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): unguessable enough for URLs behind a guard, ordered by time, made without asking the database."""
    return uuid.UUID(int=uuid6.uuid7().int)


def primary_id() -> Any:
    """The `id` column of every table: a UUIDv7 made by us."""
    return mapped_column(Uuid(), primary_key=True, default=new_id)


@contextmanager
def transaction() -> Iterator[None]:
    """Commit what is inside at the end, or roll all of it back; opened inside another one it joins that one.

    Only faces and jobs open one. Callbacks given to on_commit() run after the outermost commit, in order.
    """
    current = session()
    if current.info.get("depth"):
        current.info["depth"] += 1
        try:
            yield
        finally:
            current.info["depth"] -= 1
        return
    current.info["depth"] = 1
    try:
        yield
        current.commit()
    except BaseException:
        current.rollback()
        raise
    finally:
        current.info["depth"] = 0


def on_commit(callback: Callable[[], None]) -> None:
    """Run the callback once the running transaction has committed; never when it rolls back."""
    session().info.setdefault("on_commit", []).append(callback)


@event.listens_for(Session, "after_commit")
def _mark_committed(current: Session) -> None:
    # after_commit also fires when a savepoint is released: only the outermost transaction counts.
    if not current.in_nested_transaction():
        current.info["committed"] = True


@event.listens_for(Session, "after_transaction_end")
def _run_callbacks(current: Session, ended: SessionTransaction) -> None:
    if ended.parent is not None:
        return
    callbacks = current.info.pop("on_commit", [])
    if current.info.pop("committed", False):
        for callback in callbacks:
            callback()
