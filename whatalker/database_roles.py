"""The database, its four roles and its extensions; its one rule: may be run any number of times, as superuser, on any server.

whatalker_owner       signs in, owns the database and its tables, migrates
whatalker_login       signs in, is what the product runs as; owns nothing, inherits nothing, may become one of the next two
whatalker_app         cannot sign in; the rows of one organization, by row-level security
whatalker_backoffice  cannot sign in; reads across organizations, for a stated reason
"""

from __future__ import annotations

import secrets
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from whatalker.errors import Invalid

OWNER, LOGIN = "whatalker_owner", "whatalker_login"
GROUPS = ("whatalker_app", "whatalker_backoffice")
EXTENSIONS = ("pg_trgm", "citext", "unaccent", "btree_gin")

_UNSAFE = "select rolname from pg_roles where rolname = any(%s) and (rolsuper or rolbypassrls) order by rolname"


def prepare_database(server: str, name: str) -> None:
    """Make what is missing of the database `name` and its roles; `server` is a superuser's connection string.

    Refuses, as Invalid, a server on which one of the roles could step around row-level security.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        _make_roles(connection)
        if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
        for statement in (
            "alter database {database} owner to {owner}",
            "revoke all on database {database} from public",
            "grant connect on database {database} to {login}",
        ):
            connection.execute(
                sql.SQL(statement).format(
                    database=sql.Identifier(name), owner=sql.Identifier(OWNER), login=sql.Identifier(LOGIN)
                )
            )
    with psycopg.connect(make_conninfo(server, dbname=name), autocommit=True) as connection:
        for extension in EXTENSIONS:
            connection.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))
        connection.execute(sql.SQL("alter schema public owner to {}").format(sql.Identifier(OWNER)))


def set_passwords(server: str, name: str) -> dict[str, str]:
    """The settings that reach the prepared database over the network; a role that has a password keeps it, unknown to us."""
    settings = {"DATABASE_URL": LOGIN, "MIGRATION_DATABASE_URL": OWNER}
    with psycopg.connect(server, autocommit=True) as connection:
        host, port = connection.info.host, connection.info.port
        for key, role in settings.items():
            there = connection.execute(
                "select rolpassword is not null from pg_authid where rolname = %s", (role,)
            ).fetchone()
            password = "ITS_PASSWORD" if there and there[0] else secrets.token_urlsafe(24)
            if not (there and there[0]):
                statement = sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(password))
                connection.execute(statement)
            place = f"/{name}?host={quote(host)}" if host.startswith("/") else f"{host}:{port}/{name}"
            settings[key] = f"postgresql://{role}:{password}@{place}"
    return settings


def _make_roles(connection: psycopg.Connection) -> None:
    wanted = {OWNER: "login", LOGIN: "login noinherit", **dict.fromkeys(GROUPS, "nologin")}
    there = {
        row[0] for row in connection.execute("select rolname from pg_roles where rolname = any(%s)", (list(wanted),))
    }
    for role, attributes in wanted.items():
        if role not in there:
            connection.execute(sql.SQL(f"create role {{}} {attributes}").format(sql.Identifier(role)))
    for group in GROUPS:
        connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(LOGIN)))
    if unsafe := [row[0] for row in connection.execute(_UNSAFE, (list(wanted),))]:
        raise Invalid(
            f"The database role {unsafe[0]} could step around row-level security;"
            f" run: alter role {unsafe[0]} nosuperuser nobypassrls",
            "unsafe_database_role",
        )
