"""Encrypting stored secrets again with the newest key; its one rule: only the wrapping changes, and it may run any number of times."""

from __future__ import annotations

import uuid

from sqlalchemy import Column, Table, Text, select, type_coerce, update

from whatalker.db import db, session
from whatalker.vault import EncryptedJSON, rotate


def sealed_columns() -> list[tuple[Table, Column[object]]]:
    """Every column whose values are encrypted at rest."""
    return [
        (table, column)
        for table in db.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, EncryptedJSON)
    ]


def reseal_secrets(organization_id: uuid.UUID) -> int:
    """How many secrets of the organization now need only the first of ENCRYPTION_KEYS; run in its scope."""
    count = 0
    for table, column in sealed_columns():
        sealed = type_coerce(column, Text)
        rows = session.execute(
            select(table.c.id, sealed)
            .where(table.c.organization_id == organization_id, column.is_not(None))
            .with_for_update()
        ).all()
        for id, value in rows:
            session.execute(
                update(table)
                .where(table.c.organization_id == organization_id, table.c.id == id)
                .values({column: type_coerce(rotate(value), Text)})
            )
        count += len(rows)
    return count
