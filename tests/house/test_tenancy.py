"""What PostgreSQL itself refuses: every table of an organization is forced behind its policies, and the app's role cannot step around."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from tests import factories
from tests.factories import People
from whatalker import models as m
from whatalker.access import GLOBAL
from whatalker.db import db, new_id, session, transaction
from whatalker.tenancy import across, as_organization, as_user

NOT_PROTECTED = {"user_session": "asked for by the hash of its token before anybody is known", "webhook_call": GLOBAL[m.WebhookCall]}
"""The tables without row-level security, and why."""


def _tables() -> list[str]:
    return sorted(db.metadata.tables)


def _organization_tables() -> list[str]:
    return sorted(
        name for name, table in db.metadata.tables.items() if "organization_id" in {c.name for c in table.primary_key}
    )


def holes(connection: psycopg.Connection[Any]) -> list[str]:
    """What is missing between the tables and the law: RLS on and forced, and the policies each table must have."""
    found = []
    state = dict(
        (name, (on, forced))
        for name, on, forced in connection.execute(
            "select relname, relrowsecurity, relforcerowsecurity from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where nspname = 'public' and relkind = 'r'"
        )
    )
    policies: dict[str, set[tuple[str, str, str]]] = {}
    for table, name, command, roles in connection.execute("select tablename, policyname, cmd, roles::text from pg_policies"):
        policies.setdefault(table, set()).add((name, command, roles))
    for table in _tables():
        if table in NOT_PROTECTED:
            continue
        if state.get(table) != (True, True):
            found.append(f"{table}: row-level security is not forced")
        have = policies.get(table, set())
        if not any(command == "SELECT" and roles == "{whatalker_backoffice}" for _, command, roles in have):
            found.append(f"{table}: the back office has no policy")
        if any("whatalker_backoffice" in roles and command != "SELECT" for _, command, roles in have):
            found.append(f"{table}: the back office can write")
        if any("public" in roles for _, _, roles in have):
            found.append(f"{table}: a policy is for everybody")
        if table in _organization_tables() and ("organization", "ALL", "{whatalker_app}") not in have:
            found.append(f"{table}: the organization's own policy is missing")
    return found


@pytest.fixture
def planted(whole_app: Flask, servers: Any) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction that is rolled back, whatever is planted in it."""
    with psycopg.connect(servers.postgres.superuser + " dbname=tests") as connection:
        yield connection
        connection.rollback()


def test_every_table_is_behind_its_policies(planted: psycopg.Connection[Any]) -> None:
    assert holes(planted) == []


def test_deleting_any_one_policy_is_found(planted: psycopg.Connection[Any]) -> None:
    policies = planted.execute("select tablename, policyname from pg_policies where policyname in ('organization', 'across')").fetchall()
    assert len(policies) > 40
    for table, policy in policies:
        if (table, policy) in (("organization", "organization"), ("audit_event", "organization")):
            continue  # these two tables have no organization in their key; their rows are tried below
        planted.execute("savepoint before")
        planted.execute(sql.SQL("drop policy {} on {}").format(sql.Identifier(policy), sql.Identifier(table)))
        assert [hole for hole in holes(planted) if hole.startswith(f"{table}:")], (table, policy)
        planted.execute("rollback to before")


@pytest.mark.parametrize("change", ["disable row level security", "no force row level security"])
def test_switching_protection_off_is_found(planted: psycopg.Connection[Any], change: str) -> None:
    planted.execute(f"alter table message {change}")
    assert holes(planted) == ["message: row-level security is not forced"]


def test_opening_a_policy_to_everybody_or_to_writes_across_is_found(planted: psycopg.Connection[Any]) -> None:
    planted.execute("create policy oops on note using (true)")
    planted.execute("create policy more on label for update to whatalker_backoffice using (true)")
    assert holes(planted) == ["label: the back office can write", "note: a policy is for everybody"]


def test_the_roles_of_the_product_can_step_around_nothing(planted: psycopg.Connection[Any]) -> None:
    rows = planted.execute(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit from pg_roles"
        " where rolname in ('whatalker_login', 'whatalker_app', 'whatalker_backoffice') order by 1"
    ).fetchall()
    assert [row[0] for row in rows] == ["whatalker_app", "whatalker_backoffice", "whatalker_login"]
    assert not any(any(row[1:5]) for row in rows)
    owners = {row[0] for row in planted.execute("select distinct tableowner from pg_tables where schemaname = 'public'")}
    assert not owners & {"whatalker_login", "whatalker_app", "whatalker_backoffice"}
    granted = planted.execute(
        "select b.rolname from pg_auth_members m join pg_roles r on r.oid = m.member join pg_roles b on b.oid = m.roleid"
        " where r.rolname = 'whatalker_login' order by 1"
    ).fetchall()
    assert granted == [("whatalker_app",), ("whatalker_backoffice",)]


@pytest.mark.parametrize(
    "attempt",
    ["set local row_security = off; select * from message", "reset role; select * from message", "set role whatalker_owner",
     "set session authorization postgres", "alter table message no force row level security", "drop policy organization on message",
     "create policy mine on message using (true)", "truncate message", "alter table message owner to whatalker_app",
     "grant whatalker_owner to whatalker_login", "copy message to program 'cat'", "select pg_read_file('/etc/passwd')"],
)  # fmt: skip
def test_the_app_cannot_step_around_its_role(app_context: None, people: People, attempt: str) -> None:
    with pytest.raises(DBAPIError), as_organization(people.organization.id):
        for statement in attempt.split("; "):
            rows = session.execute(text(statement))
        assert rows.fetchall()
    session.rollback()


# ---------------------------------------------------------------- rows


def _filled(organization: m.Organization) -> None:
    """At least one row in every table of the organization."""
    account = factories.make_channel_account(organization)
    contact = factories.make_contact(organization)
    conversation = factories.make_conversation(organization, contact=contact, channel_account=account)
    message = factories.make_message(conversation, "out")
    team, user = factories.make_team(organization), factories.make_user()
    membership = factories.make_membership(organization, user)
    own = {"organization_id": organization.id}
    label = m.Label(**own, id=new_id(), name="L")
    rows = [
        label, m.Role(**own, name="R", rank=1, permissions=[]), m.CannedReply(**own, shortcut="x", text="x"),
        m.TeamMember(**own, team_id=team.id, membership_id=membership.id),
        m.AccountNotice(**own, event_key="k", field="f", payload={}, at=factories.moments_ago(hours=1)),
        m.Suppression(**own, channel="whatsapp", key="k", source="agent"),
        m.Note(**own, conversation_id=conversation.id, author_id=user.id, text="n"),
        m.Draft(**own, conversation_id=conversation.id, user_id=user.id, text="d"),
        m.MessageEvent(**own, message_id=message.id, event_key="e", kind="queued", at=factories.moments_ago(hours=1)),
        m.Attachment(**own, message_id=message.id, kind="image"),
        m.SendDecision(**own, **_decision(message)),
        m.AuditEvent(**own, action="thing.done", actor_kind="system", object_type="label"),
    ]  # fmt: skip
    with transaction(), as_organization(organization.id):
        session.add_all(rows)
        session.flush()
        session.add(m.ConversationLabel(**own, conversation_id=conversation.id, label_id=label.id))
    factories.make_template(organization, account)


def _decision(message: m.Message) -> dict[str, Any]:
    return {"message_id": message.id, "verdict": "allow", "code": "allowed", "facts": {}, "trace_hash": "0", "engine_version": "1"}


@pytest.fixture
def both(app: Flask, app_context: None) -> tuple[m.Organization, m.Organization]:
    ours, theirs = factories.make_organization(), factories.make_organization()
    _filled(ours), _filled(theirs)
    return ours, theirs


def _count(table: str, where: str = "true", **values: Any) -> int:
    return int(session.scalar(text(f"select count(*) from {table} where {where}"), values) or 0)


def test_text_sql_sees_only_the_organization_in_scope_in_every_table(both: tuple[m.Organization, m.Organization]) -> None:
    ours, theirs = both
    for table, (mine, other) in itertools.product(_organization_tables(), ((ours, theirs), (theirs, ours))):
        with as_organization(mine.id):
            assert _count(table) > 0, f"{table} has no row: _filled() must make one"
            assert _count(table, "organization_id = :id", id=other.id) == 0, table
            assert _count(table) == _count(table, "organization_id = :id", id=mine.id)


def test_no_scope_means_no_rows(both: tuple[m.Organization, m.Organization]) -> None:
    for table in [*_organization_tables(), "organization", "audit_event"]:
        assert _count(table) == 0, table


def test_an_organization_is_seen_by_itself_alone(both: tuple[m.Organization, m.Organization]) -> None:
    ours, theirs = both
    with as_organization(ours.id):
        assert session.scalars(select(m.Organization.id)).all() == [ours.id]
        assert _count("audit_event", "organization_id <> :id or organization_id is null", id=ours.id) == 0
        assert _count("audit_event") == 1
        assert _count("user_account") == 1


@pytest.mark.parametrize("what", ["update", "delete", "insert", "move in", "move out"])
def test_nothing_of_another_organization_is_written(both: tuple[m.Organization, m.Organization], what: str) -> None:
    ours, theirs = both
    statements = {
        "update": "update label set name = 'stolen' where organization_id = :theirs",
        "delete": "delete from label where organization_id = :theirs",
        "insert": "insert into label (organization_id, id, name, colour) values (:theirs, gen_random_uuid(), 'planted', 'grey')",
        "move in": "update label set organization_id = :ours where organization_id = :theirs",
        "move out": "update label set organization_id = :theirs where organization_id = :ours",
    }
    with as_organization(ours.id):
        try:
            changed = session.execute(text(statements[what]), {"ours": ours.id, "theirs": theirs.id}).rowcount
        except DBAPIError as error:
            changed = 0
            assert "row-level security" in str(error.orig) or "foreign key" in str(error.orig)
        session.rollback()
    assert changed == 0


def test_a_reference_cannot_leave_the_organization(both: tuple[m.Organization, m.Organization]) -> None:
    ours, theirs = both
    with as_organization(theirs.id):
        conversation = session.scalar(select(m.Conversation.id))
        user = session.scalar(select(m.Membership.user_id))
    with pytest.raises(DBAPIError, match="foreign key"), as_organization(ours.id):
        session.add(m.Note(organization_id=ours.id, conversation_id=conversation, author_id=user, text="across"))
        session.flush()
    session.rollback()


def test_across_reads_everything_for_a_reason_and_writes_nothing(both: tuple[m.Organization, m.Organization]) -> None:
    with across("a test"):
        for table in _organization_tables():
            assert session.scalar(text(f"select count(distinct organization_id) from {table}")) == 2, table
    for table in [*_organization_tables(), "organization", "user_account", "audit_event"]:
        with pytest.raises(ProgrammingError, match="permission denied"), across("a test"):
            session.execute(text(f"delete from {table}"))
        session.rollback()
    with pytest.raises(ValueError, match="reason"), across("  "):
        pass


def test_the_back_office_role_without_a_reason_sees_nothing(both: tuple[m.Organization, m.Organization]) -> None:
    with across("a test"):
        session.execute(text("select set_config('app.reason', '', true)"))
        for table in [*_organization_tables(), "organization", "user_account", "audit_event"]:
            assert _count(table) == 0, table
        session.rollback()


def test_before_an_organization_is_chosen_one_sees_only_ones_own_memberships(both, people: People) -> None:
    with as_user(people.agent.user_id):
        assert session.scalars(select(m.Membership.user_id)).all() == [people.agent.user_id]
        assert session.scalars(select(m.Organization.id)).all() == [people.organization.id]
        assert _count("contact") == _count("role") == _count("conversation") == 0


def test_the_scope_does_not_leak_into_the_next_use_of_the_connection(both: tuple[m.Organization, m.Organization], app: Flask) -> None:
    ours, theirs = both
    with transaction(), as_organization(ours.id):
        assert _count("label") == 1
    session.remove()
    assert _count("label") == 0
    seen: list[tuple[uuid.UUID, set[uuid.UUID]]] = []

    def look(organization: m.Organization) -> None:
        with app.app_context():
            for _ in range(25):
                with transaction(), as_organization(organization.id):
                    seen.append((organization.id, set(session.scalars(select(m.Label.organization_id)))))

    threads = [threading.Thread(target=look, args=(one,)) for one in (ours, theirs) * 3]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    assert len(seen) == 150 and all(found == {id} for id, found in seen)


@pytest.mark.parametrize("table", ["account_notice", "audit_event", "message_event", "send_decision"])
@pytest.mark.parametrize("what", ["update {} set organization_id = organization_id", "delete from {}", "truncate {}"])
def test_ledgers_are_only_added_to(both: tuple[m.Organization, m.Organization], table: str, what: str) -> None:
    with pytest.raises(DBAPIError), as_organization(both[0].id):
        session.execute(text(what.format(table)))
    session.rollback()
