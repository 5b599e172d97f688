"""What is configured, reachable, migrated and alive, and what to do about what is not; its one rule: it changes nothing."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from alembic.script import ScriptDirectory
from flask import current_app
from redis.exceptions import RedisError, ResponseError
from rq import Worker
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from whatalker import queues
from whatalker.db import db, now
from whatalker.tenancy import APP_ROLE

UPKEEP_LOCK = 7238412
"""The advisory lock that the one active `whatalker upkeep` holds."""
SILENT_AFTER = timedelta(minutes=10)
"""A worker not heard of for longer is taken for dead; an idle one reports every few minutes."""

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, in a sentence, and what to do when it is not well."""

    name: str
    state: State
    says: str
    do: str = ""


def diagnose() -> list[Finding]:
    """Every finding, none of which raises; what cannot be looked at because something below it is away is left out."""
    findings = [_configured(), *_database()]
    if all(finding.state != "wrong" for finding in findings if finding.name == "database"):
        findings += [_migrated(), _role(), _row_security(), _upkeep()]
    redis = list(_redis())
    findings += redis
    if all(finding.state != "wrong" for finding in redis):
        findings += [_workers(name) for name in queues.QUEUES]
    return [*findings, _provider(), _media(), _mail()]


def _configured() -> Finding:
    config = current_app.config
    return Finding("configuration", "ok", f"{config['ENVIRONMENT']}, for {config['PUBLIC_URL']}; every secret is set.")


def _ask(question: str, role: str = "", **values: Any) -> Any:
    """One value from the database, over a connection of its own: what fails here leaves nothing behind."""
    with db.engine.connect() as connection:
        if role:
            connection.execute(text("select set_config('role', :role, true)"), {"role": role})
        return connection.scalar(text(question), values)


def _database() -> Iterator[Finding]:
    try:
        number = int(_ask("select current_setting('server_version_num')"))
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield Finding(
            "database",
            "wrong",
            f"PostgreSQL cannot be used: {why}",
            "Start it, or correct DATABASE_URL; whatalker init-database makes the roles.",
        )
        return
    if number < 150000:
        yield Finding("database", "wrong", f"PostgreSQL {number // 10000} is too old.", "Use PostgreSQL 15 or newer.")
    else:
        yield Finding("database", "ok", f"PostgreSQL {number // 10000}.{number % 10000} answers.")


def _migrated() -> Finding:
    heads = set(ScriptDirectory(str(current_app.extensions["migrate"].directory)).get_heads())
    try:
        version = _ask("select string_agg(version_num, ',') from alembic_version", role=APP_ROLE)
    except SQLAlchemyError:
        version = None
    if not version:
        return Finding("migrations", "wrong", "The database has no tables of ours yet.", "Run: flask db upgrade")
    if set(version.split(",")) != heads:
        return Finding(
            "migrations",
            "wrong",
            f"The database is at {version}, this code at {', '.join(heads)}.",
            "Run: flask db upgrade",
        )
    return Finding("migrations", "ok", f"The database is at {version}, as this code is.")


_ROLE = """
    select case
        when rolsuper then 'is a superuser'
        when rolbypassrls then 'may bypass row-level security'
        when rolinherit then 'inherits the rights of its groups (it needs NOINHERIT)'
        when not pg_has_role(oid, 'whatalker_app', 'member') then 'is no member of whatalker_app'
        when not pg_has_role(oid, 'whatalker_backoffice', 'member') then 'is no member of whatalker_backoffice'
        when exists (select 1 from pg_class where relowner = pg_roles.oid and relkind in ('r', 'p'))
            then 'owns tables, and owners can switch row-level security off'
    end from pg_roles where rolname = session_user
"""


def _role() -> Finding:
    user = _ask("select session_user")
    if problem := _ask(_ROLE):
        return Finding(
            "database role",
            "wrong",
            f"{user} {problem}.",
            "Let DATABASE_URL sign in as whatalker_login; whatalker init-database makes it.",
        )
    return Finding("database role", "ok", f"{user} owns nothing and cannot step around row-level security.")


_UNPROTECTED = """
    select string_agg(relname, ', ' order by relname) from pg_class c
    where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and not (relrowsecurity and relforcerowsecurity)
    and exists (select 1 from pg_attribute where attrelid = c.oid and attname = 'organization_id' and not attisdropped)
"""


def _row_security() -> Finding:
    if tables := _ask(_UNPROTECTED):
        return Finding(
            "row-level security",
            "wrong",
            f"Not forced on: {tables}.",
            "Run: flask db upgrade; if it stays so, restore from the migrations.",
        )
    return Finding("row-level security", "ok", "Forced on every table that belongs to an organization.")


def _upkeep() -> Finding:
    held = _ask(
        "select count(*) from pg_locks where locktype = 'advisory' and granted and objsubid = 1"
        " and (classid::bigint << 32) + objid::bigint = :lock"
        " and database = (select oid from pg_database where datname = current_database())",
        lock=UPKEEP_LOCK,
    )
    if not held:
        return Finding(
            "upkeep",
            "wrong",
            "Nothing sweeps or keeps the schedule: lost doorbells stay lost.",
            "Start: whatalker upkeep (on two hosts; one is active)",
        )
    return Finding("upkeep", "ok", "One is active.")


def _redis() -> Iterator[Finding]:
    server = queues.redis()
    try:
        server.ping()
        settings: Any = server.config_get("maxmemory-policy", "appendonly")
    except ResponseError:
        yield Finding("redis", "ok", "Redis answers; its settings may not be read from here.")
        return
    except RedisError as error:
        yield Finding(
            "redis", "wrong", f"Redis cannot be used ({type(error).__name__}).", "Start it, or correct REDIS_URL."
        )
        return
    if settings.get("maxmemory-policy") != "noeviction":
        yield Finding(
            "redis",
            "warning",
            "Redis may throw queued work away when memory is short.",
            "Set maxmemory-policy noeviction.",
        )
    elif settings.get("appendonly") != "yes" and current_app.config["ENVIRONMENT"] == "production":
        yield Finding(
            "redis",
            "warning",
            "Redis forgets scheduled work when it restarts.",
            "Set appendonly yes and appendfsync everysec.",
        )
    else:
        yield Finding("redis", "ok", "Redis answers and keeps what it is given.")


def _workers(name: str) -> Finding:
    alive = [
        worker
        for worker in Worker.all(queue=queues.queue(name))
        if worker.last_heartbeat and now() - worker.last_heartbeat < SILENT_AFTER
    ]
    if not alive:
        return Finding(f"queue {name}", "wrong", "No worker serves it.", f"Start: whatalker work {name}")
    return Finding(
        f"queue {name}",
        "ok",
        f"{len(alive)} worker{'s' if len(alive) > 1 else ''}, {queues.queue(name).count} waiting.",
    )


def _provider() -> Finding:
    """Whether the provider's address answers; no call is made, for it would need somebody's token."""
    base = urlsplit(current_app.config["WHATSAPP_API_BASE"])
    try:
        with socket.create_connection(
            (base.hostname or "", base.port or (443 if base.scheme == "https" else 80)), timeout=5
        ) as plain:
            if base.scheme == "https":
                ssl.create_default_context().wrap_socket(plain, server_hostname=base.hostname).close()
    except OSError as error:
        return Finding(
            "whatsapp",
            "wrong",
            f"{base.hostname} cannot be reached ({error}).",
            "Open the way out to it, or correct WHATSAPP_API_BASE.",
        )
    return Finding("whatsapp", "ok", f"{base.hostname} answers.")


def _media() -> Finding:
    folder = Path(current_app.config["MEDIA_ROOT"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "media",
            "wrong",
            f"{folder} cannot be written to ({error.strerror}).",
            "Give this user the folder, or set MEDIA_ROOT.",
        )
    return Finding("media", "ok", f"Files are kept in {folder}.")


def _mail() -> Finding:
    if current_app.config["MAIL_SUPPRESS_SEND"]:
        return Finding(
            "mail",
            "warning",
            "No mail server is set: nobody can recover a password by letter.",
            "Set MAIL_SERVER and MAIL_DEFAULT_SENDER.",
        )
    return Finding("mail", "ok", f"Letters leave through {current_app.config['MAIL_SERVER']}.")
