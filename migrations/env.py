"""Runs migrations as the owner of the tables (MIGRATION_DATABASE_URL): the app's own role may not change them."""

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool

from typing import Any

import whatalker.models  # noqa: F401  every model must be known before they are compared
from whatalker.db import UTC, db
from whatalker.vault import EncryptedJSON


def render(kind: str, item: Any, autogenerate: Any) -> str | bool:
    """Plain types in migrations: they must run as they were written after our own types have changed."""
    if kind == "type" and isinstance(item, UTC):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, EncryptedJSON):
        return "sa.Text()"
    return False


def run() -> None:
    engine = create_engine(current_app.config["MIGRATION_DATABASE_URL"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            compare_type=True,
            compare_server_default=False,
            render_item=render,
        )
        with context.begin_transaction():
            # Two hosts that deploy at once take turns.
            connection.exec_driver_sql("select pg_advisory_xact_lock(7238411)")
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Migrations need a database: set MIGRATION_DATABASE_URL or DATABASE_URL.")
run()
