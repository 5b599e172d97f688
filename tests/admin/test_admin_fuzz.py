"""A thousand form posts that nobody would make on purpose: no 500, and what was refused has changed nothing at all."""

from __future__ import annotations

import random
import uuid
from typing import Any

import psycopg
from flask import Flask
from psycopg import sql

from tests.admin.test_admin_vectors import SCREENS, view_of
from tests.admin.worlds import World
from tests.visiting import visit
from whatalker.access import Permission
from whatalker.db import db

POSTS = 1_000
TABLES = sorted(set(db.metadata.tables) - {"user_session", "audit_event"})
STRANGE = (
    "", " ", "a" * 41, "b" * 300, "x" * 70_000, "\x00", "a\x00b", "\u202eevil", "\u200b", "😀" * 50, "'; drop table label; --",
    "<script>alert(1)</script>", "=1+1", "{{7*7}}", "0", "-1", "99999999999999999999", "1.5", "1e309", "NaN", "true", "null",
    "[]", "{}", "abc", "../../etc/passwd", "a@b.example", "owner", "platform_admin", "en", "xx", "UTC", "grey", "US", "+573001234567",
    "\r\n", "ÿ", "𒀀", *(str(p) for p in Permission),
)  # fmt: skip


def fingerprint(connection: psycopg.Connection[Any]) -> list[Any]:
    """Every row of every table but the audit, and how many lines the audit has."""
    parts = [
        sql.SQL("(select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {} t)").format(
            sql.Identifier(table)
        )
        for table in TABLES
    ]
    row = connection.execute(
        sql.SQL("select (select count(*) from audit_event), {}").format(sql.SQL(", ").join(parts))
    ).fetchone()
    return list(row or ())


def something(chance: random.Random, world: World) -> str:
    ids = [*world.ours.rows.values(), *world.theirs.rows.values(), uuid.uuid4()]
    return str(
        chance.choice([chance.choice(STRANGE), chance.choice(ids), chance.choice(STRANGE) + chance.choice(STRANGE)])
    )


def a_post(chance: random.Random, app: Flask, world: World) -> tuple[str, dict[str, Any]]:
    view = view_of(app, chance.choice(SCREENS).address)
    with app.test_request_context():
        names = [field.short_name for form in {view.get_create_form(), view.get_edit_form()} for field in form(meta={})]
    form: dict[str, Any] = {
        name: [something(chance, world) for _ in range(chance.choice([1, 1, 1, 3]))]
        for name in names
        if chance.random() < 0.85
    }
    form |= {
        name: something(chance, world)
        for name in ("id", "organization_id", "url", "action", "rowid")
        if chance.random() < 0.3
    }
    own = str(world.ours.rows[view.of])
    id = chance.choice([own, own, own, something(chance, world)])
    path = chance.choice(["new/", f"edit/?id={uuid.UUID(own)}", "edit/", "delete/", "action/", "reveal/", "standing/"])
    if path in ("delete/", "action/"):
        form |= {
            "id": something(chance, world),
            "rowid": [id],
            "action": chance.choice([*view._actions_data, "delete", ""]),
        }
    return f"{view.url}/{path}", form


def test_a_thousand_strange_posts_break_nothing_and_store_nothing_half(
    app: Flask, new_world: World, owner_connection: psycopg.Connection[Any]
) -> None:
    chance, stored, refused = random.Random(20261122), 0, 0
    client = visit(app, new_world.ours.owner)
    posts = [a_post(chance, app, new_world) for _ in range(POSTS)]
    before = fingerprint(owner_connection)
    for url, form in posts:
        answer = client.post(url, data=form)
        assert answer.status_code < 500, (url, form, answer.get_data(as_text=True)[:300])
        after = fingerprint(owner_connection)
        if answer.status_code == 302:
            # Whatever changed a row has left a line in the audit, in the same transaction.
            assert after[1:] == before[1:] or after[0] > before[0], (url, form)
            stored += after[1:] != before[1:]
        else:
            assert after[1:] == before[1:], (url, form, answer.status_code)
            refused += 1
        before = after
    assert stored >= 20 and refused >= 500, (stored, refused)
