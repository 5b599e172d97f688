"""Closed lists are whole and used: models have a visibility and an organization, jobs a worker, permissions, events and codes a use."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from flask import Flask
from flask_migrate import check
from sqlalchemy import Column, Integer, Table

from tests.house.surveying import unused
from whatalker import access, events, queues, services
from whatalker.access import GLOBAL, PLATFORM_ONLY, ROLES, VISIBILITY, Permission
from whatalker.admin.base import Page
from whatalker.db import Model, db
from whatalker.queues import Job

ROOT = Path(__file__).parent.parent.parent
OURS = ROOT / "whatalker"


def _models() -> list[type[Model]]:
    return sorted((mapper.class_ for mapper in db.Model.registry.mappers), key=lambda model: model.__name__)


# ---------------------------------------------------------------- models


def invisible(models: list[type[Model]], visibility: dict) -> list[str]:
    return [model.__name__ for model in models if model not in visibility]


def homeless(models: list[type[Model]], global_models: dict) -> list[str]:
    """Models whose primary key does not begin with the organization, and that are not listed as global with a reason."""
    return [
        model.__name__
        for model in models
        if "organization_id" not in {column.name for column in model.__table__.primary_key} and not global_models.get(model)
    ]


def crossing(models: list[type[Model]]) -> list[str]:
    """Foreign keys between rows of organizations that do not carry the organization: those checks bypass row-level security."""
    ours = {model.__tablename__ for model in models if "organization_id" in {c.name for c in model.__table__.primary_key}}
    found = []
    for model in models:
        for constraint in model.__table__.foreign_key_constraints:
            if constraint.referred_table.name in ours and "organization_id" not in constraint.column_keys:
                found.append(f"{model.__tablename__}.{', '.join(constraint.column_keys)}")
    return found


def test_every_model_has_a_visibility_a_home_and_composite_references(whole_app: Flask) -> None:
    assert invisible(_models(), VISIBILITY) == []
    assert homeless(_models(), GLOBAL) == []
    assert crossing(_models()) == []


def test_a_model_without_them_is_found(whole_app: Flask) -> None:
    label, note = (next(model for model in _models() if model.__name__ == name) for name in ("Label", "Note"))
    assert invisible(_models(), {model: rule for model, rule in VISIBILITY.items() if model is not label}) == ["Label"]
    assert homeless(_models(), {}) == sorted(model.__name__ for model in GLOBAL)

    class Planted:
        __tablename__ = "planted"
        __table__ = Table("planted", db.metadata, Column("id", Integer, primary_key=True))

    note_id = Column("note_id", note.__table__.c.id.type)
    from sqlalchemy import ForeignKeyConstraint

    Planted.__table__.append_column(note_id)
    Planted.__table__.append_constraint(ForeignKeyConstraint(["note_id"], ["note.id"]))
    try:
        assert crossing([*_models(), Planted]) == ["planted.note_id"]
        assert homeless([Planted], GLOBAL) == ["Planted"]
    finally:
        db.metadata.remove(Planted.__table__)


def test_models_match_the_migrations(whole_app: Flask) -> None:
    with whole_app.app_context():
        check(directory=str(ROOT / "migrations"))


def test_a_model_that_the_migrations_do_not_make_is_found(whole_app: Flask) -> None:
    planted = Table("planted", db.metadata, Column("id", Integer, primary_key=True))
    try:
        with whole_app.app_context(), pytest.raises(SystemExit):
            check(directory=str(ROOT / "migrations"))
    finally:
        db.metadata.remove(planted)


def test_the_newest_migration_is_the_one_noted_so_that_two_branches_collide() -> None:
    newest = max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    assert (ROOT / "migrations" / ".current-head").read_text().strip().startswith(newest)


# ---------------------------------------------------------------- jobs


def unresolved(jobs: list[str]) -> list[str]:
    found = []
    for job in jobs:
        module, _, name = job.rpartition(".")
        try:
            ok = callable(getattr(importlib.import_module(module), name, None))
        except ImportError:
            ok = False
        if not ok:
            found.append(job)
    return found


def test_every_job_is_a_function_and_every_queue_has_a_worker_in_the_launcher() -> None:
    assert unresolved([str(job) for job in Job]) == []
    launcher = "\n".join(path.read_text() for path in (OURS / "launcher").glob("*.py"))
    without = [name for name in queues.QUEUES if "QUEUES" not in launcher and f'"{name}"' not in launcher]
    assert without == []


def test_a_job_that_is_nowhere_is_found() -> None:
    assert unresolved(["whatalker.jobs.dispatch.nothing", "whatalker.nowhere.x"]) == ["whatalker.jobs.dispatch.nothing", "whatalker.nowhere.x"]


def test_doorbells_are_rung_only_on_queues_that_have_a_worker() -> None:
    rung = set()
    for path in OURS.rglob("*.py"):
        for called in re.findall(r"\b(?:enqueue|ring)\(\s*(\"[a-z]+\"|queues\.[A-Z]+|[A-Z]+)\s*,", path.read_text()):
            rung.add(called.strip('"').removeprefix("queues.").lower())
    assert rung <= set(queues.QUEUES) and rung


# ---------------------------------------------------------------- words


def test_every_permission_is_asked_for_and_held_by_somebody() -> None:
    decided_there = set(re.findall(r"P\.([A-Z_]+) in actor\.permissions", (OURS / "access.py").read_text()))
    asked = [permission.name for permission in Permission if permission.name not in decided_there]
    assert unused(asked, OURS, "access.py") == []
    held = frozenset().union(*(role.permissions for role in ROLES.values()))
    assert set(Permission) - held == set()


def test_no_role_of_an_organization_holds_what_is_the_providers() -> None:
    for name in ("viewer", "agent", "developer", "team_lead", "admin", "owner"):
        assert not ROLES[name].permissions & PLATFORM_ONLY


def test_ranks_and_rights_rise_together() -> None:
    """Whoever may grant a role must not thereby hand out what they do not hold."""
    for low, high in (("agent", "team_lead"), ("team_lead", "admin"), ("developer", "admin"), ("admin", "owner")):
        assert ROLES[low].rank < ROLES[high].rank
        assert ROLES[low].permissions <= ROLES[high].permissions


def test_every_event_is_published() -> None:
    assert unused([event.name for event in events.Event], OURS, "events.py") == []


def test_an_unused_word_is_found(tmp_path: Path) -> None:
    (tmp_path / "access.py").write_text("class P: USED = 1; UNUSED = 2")
    (tmp_path / "a.py").write_text("P.USED")
    assert unused(["USED", "UNUSED"], tmp_path, "access.py") == ["UNUSED"]


def _verdict_codes() -> set[str]:
    codes = set()
    for path in (OURS / "policies").glob("*.py"):
        codes |= set(re.findall(r"Verdict\(\s*\"\w+\",\s*\"(?:deny|defer)\",\s*\"(\w+)\"", path.read_text()))
    return codes


def test_every_verdict_code_has_a_test() -> None:
    told = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "house")
    codes = _verdict_codes()
    assert codes, "the policies say why they refuse"
    assert sorted(code for code in codes if code not in told) == []


# ---------------------------------------------------------------- faces


def test_every_admin_view_is_a_page_of_ours_and_every_action_names_a_permission(whole_app: Flask) -> None:
    (admin,) = whole_app.extensions["admin"]
    for view in admin._views:
        assert isinstance(view, Page), view
        assert isinstance(view.permission, Permission), view
        for name in getattr(view, "_actions_data", {}):
            assert view.guard_of_view("action_view").permissions, f"{view} {name}"


def test_services_are_gerunds() -> None:
    names = [path.stem for path in Path(services.__path__[0]).glob("*.py") if path.stem != "__init__"]
    assert [name for name in names if not name.endswith("ing")] == []


def test_permissions_events_and_audit_actions_are_spelled_alike() -> None:
    assert all(re.fullmatch(r"[a-z_]+:[a-z_]+", permission) for permission in Permission)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", event) for event in events.Event)
    actions = set()
    for path in OURS.rglob("*.py"):
        actions |= set(re.findall(r"(?:auditing\.record|record)\(\s*\w+(?:\(\w+\))?,\s*\"([^\"]+)\"", path.read_text()))
    assert actions and all(re.fullmatch(r"[a-z_]+\.[a-z_]+", action) for action in actions), actions


def test_the_two_tables_of_access_can_be_read_aloud() -> None:
    assert set(VISIBILITY) >= set(GLOBAL) and access.VISIBILITY is VISIBILITY
