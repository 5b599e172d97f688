"""The real servers, once for all tests; every test that asks for the app starts with empty tables and an empty queue server."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask_migrate import upgrade
from psycopg import sql

from tests import factories
from whatalker import create_app
from whatalker.db import db
from whatalker.embedded import Servers

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A private PostgreSQL and Valkey for this run, gone with it."""
    with tempfile.TemporaryDirectory(prefix="whatalker-tests-") as folder:
        running = Servers.start(Path(folder), durable=False)
        yield running
        running.stop()


@pytest.fixture(scope="session")
def environment(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the product finds in its environment; other processes of a test are started with it."""
    database_url, migration_database_url = servers.add_database("tests")
    values = {
        "ENVIRONMENT": "test",
        "DATABASE_URL": database_url,
        "MIGRATION_DATABASE_URL": migration_database_url,
        "REDIS_URL": servers.redis_url,
        "SECRET_KEY": secrets.token_hex(32),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": "http://127.0.0.1",
        "MEDIA_ROOT": str(tmp_path_factory.mktemp("media")),
        "INSTANCE": str(tmp_path_factory.mktemp("instance")),
        "WHATSAPP_API_BASE": "http://127.0.0.1:9/v23.0",
        "WHATSAPP_APP_SECRET": "test-app-secret",
        "WHATSAPP_VERIFY_TOKEN": "test-verify-token",
    }
    os.environ.update(values)
    return values


@pytest.fixture(scope="session")
def whole_app(environment: dict[str, str]) -> Flask:
    """The application over a migrated database."""
    app = create_app("config.TestConfig")
    with app.app_context():
        upgrade(directory=str(ROOT / "migrations"))
    return app


@pytest.fixture(scope="session")
def owner_connection(whole_app: Flask, servers: Servers) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection to the test database: empties tables between tests, and looks behind the product's back."""
    with psycopg.connect(servers.postgres.superuser + " dbname=tests", autocommit=True) as connection:
        yield connection


@pytest.fixture
def app(whole_app: Flask, owner_connection: psycopg.Connection[Any], servers: Servers) -> Iterator[Flask]:
    """The application, with nothing in it."""
    tables = sql.SQL(", ").join(sql.Identifier(table) for table in db.metadata.tables)
    owner_connection.execute(sql.SQL("truncate {} restart identity cascade").format(tables))
    with whole_app.app_context():
        whole_app.extensions["redis"].flushdb()
    yield whole_app


@pytest.fixture
def app_context(app: Flask) -> Iterator[None]:
    """An application context for tests of services; tests through a client must not keep one around."""
    with app.app_context():
        yield
        db.session.rollback()


@pytest.fixture
def client(app: Flask) -> Any:
    return app.test_client()


@pytest.fixture
def people(app: Flask) -> factories.People:
    """An organization with its four known people, and a stranger from another one."""
    with app.app_context():
        return factories.make_people()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser run last: the browser's driver keeps an event loop in the main thread, and there can be only one."""
    items.sort(key=lambda item: "playwright" in getattr(item, "fixturenames", ()))
