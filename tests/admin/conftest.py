"""The two organizations of worlds.py, made once for a file of tests that only read, and the database without its own guards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg import sql

from tests.admin.worlds import World, make_world
from whatalker.db import db
from whatalker.security import throttles

GUARDED = "select relname from pg_class where relrowsecurity and relnamespace = 'public'::regnamespace"


@pytest.fixture(scope="module")
def world(whole_app: Flask, owner_connection: psycopg.Connection[Any]) -> Iterator[World]:
    yield from build(whole_app, owner_connection)


@pytest.fixture
def new_world(whole_app: Flask, owner_connection: psycopg.Connection[Any]) -> Iterator[World]:
    """The same for one test that changes it."""
    yield from build(whole_app, owner_connection)


def build(whole_app: Flask, owner_connection: psycopg.Connection[Any]) -> Iterator[World]:
    tables = sql.SQL(", ").join(sql.Identifier(table) for table in db.metadata.tables)
    owner_connection.execute(sql.SQL("truncate {} restart identity cascade").format(tables))
    throttles.limiter.enabled = False
    yield make_world(whole_app)
    throttles.limiter.enabled = True


@pytest.fixture
def no_row_security(owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The database shows every row to everyone: what still holds then is held by the Screens alone."""
    tables = [row[0] for row in owner_connection.execute(GUARDED)]
    assert len(tables) > 20
    for table in tables:
        owner_connection.execute(sql.SQL("alter table {} disable row level security").format(sql.Identifier(table)))
    yield
    for table in tables:
        owner_connection.execute(sql.SQL("alter table {} enable row level security").format(sql.Identifier(table)))
