"""Each wall of a Screen taken away once, on purpose: the vector it belongs to must notice."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from wtforms import StringField
from wtforms.fields.choices import Choice

from tests.admin.test_admin_vectors import attempt
from tests.admin.vectors import VECTORS
from tests.admin.worlds import World
from whatalker import create_app
from whatalker import models as m
from whatalker.access import Permission
from whatalker.admin.base import Screen, deed
from whatalker.admin.fields import PickOne, ScreenForm
from whatalker.admin.keysets import Order
from whatalker.admin.lookups import Lookup
from whatalker.admin.texts import Labels
from whatalker.db import session


class NoQuery(Labels):
    """`get_query` as Flask-Admin has it: every row."""

    address = "no_query"
    choices = {"colour": ("Colour", (("grey", "Grey"),))}

    def get_query(self) -> Any:
        return select(self.of)


class NoCountQuery(Labels):
    address = "no_count_query"

    def get_count_query(self) -> Any:
        return select(func.count()).select_from(self.of)


class NoOne(Labels):
    """`get_one` as Flask-Admin has it: by the key alone."""

    address = "no_one"

    def get_one(self, id: Any) -> Any:
        from whatalker.admin.rows import key_of
        from whatalker.errors import NotFound

        row = session.query(self.of).filter_by(id=key_of(str(id))).one_or_none()
        if row is None:
            raise NotFound("gone")
        return row


class NoMany(Labels):
    """An action that fetches whatever ids it is given."""

    address = "no_many"

    def get_many(self, ids: Any) -> Any:
        return session.query(self.of).filter(self.of.id.in_([id for id in ids if len(id) == 36])).all()

    @deed("rename", "Rename", Permission.LABEL_UPDATE)
    def rename(self, rows: list[Any]) -> str:
        for row in rows:
            row.name = f"renamed {row.name}"[:40]
        return "Renamed."


class OpenSearch(Labels):
    """A search that begins anew instead of at the query it was given."""

    address = "open_search"
    search_hint = "Name"

    def found(self, query: Any, text: str) -> Any:
        return select(self.of).where(self.of.name.icontains(text))


class OpenLookup(Lookup):
    def get_list(self, query: Any, offset: Any = 0, limit: Any = 10) -> list[Any]:
        return list(session.scalars(select(self.model)))


class NullingLookup(Lookup):
    def get_one(self, pk: Any) -> Any:
        return None


class LeakyLookups(Labels):
    address = "leaky_lookups"
    form_ajax_refs = {"team_id": OpenLookup("team_id", m.Team, m.Team.name)}


class NullingLookups(Labels):
    address = "nulling_lookups"
    form_ajax_refs = {"team_id": NullingLookup("team_id", m.Team, m.Team.name)}


class SoundLookups(Labels):
    address = "sound_lookups"
    form_ajax_refs = {"team_id": Lookup("team_id", m.Team, m.Team.name)}


class EveryTeam(PickOne):
    def iter_choices(self) -> Any:
        return (Choice(str(team.id), team.name, False, {}) for team in session.scalars(select(m.Team)))

    def pre_validate(self, form: Any) -> None:
        pass


class LeakyChoicesForm(ScreenForm):
    name = StringField("Name")
    team_id = EveryTeam("Team", model=m.Team)


class LeakyChoices(Labels):
    address = "leaky_choices"
    form = LeakyChoicesForm

    def get_edit_form(self) -> Any:
        return self.form


class OpenForm(ScreenForm):
    """Flask-Admin's own form: a field for every column."""

    name = StringField("Name")
    organization_id = StringField("Organization")


class OpenCreation(Labels):
    address = "open_creation"
    form = OpenForm

    def create(self, actor: Any, values: dict[str, Any]) -> Any:
        label = m.Label(**values | {"name": values["name"][:40]})
        session.add(label)
        session.flush()
        return label


class OpenExport(NoQuery):
    address = "open_export"
    export_permission = Permission.LABEL_UPDATE


PLANTS: list[tuple[type[Screen], str]] = [
    (NoQuery, "list"), (NoCountQuery, "count"), (NoOne, "details"), (NoOne, "edit form"),
    (NoOne, "edit"), (NoOne, "deletion"), (NoMany, "actions"), (OpenSearch, "search"), (LeakyLookups, "look-ups"),
    (NullingLookups, "look-ups"), (LeakyChoices, "choices"), (OpenCreation, "creation"), (OpenExport, "export"),
    (NoQuery, "filters"),
]  # fmt: skip


@pytest.fixture(scope="module")
def planted_app(whole_app: Flask) -> Flask:
    app = create_app("config.TestConfig")
    for plant in {plant for plant, _vector in PLANTS} | {SoundLookups}:
        app.extensions["admin"][0].add_view(plant())
    return app


@pytest.mark.parametrize(("plant", "vector"), PLANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_screen_without_this_wall_is_caught(
    planted_app: Flask, new_world: World, no_row_security: None, plant: type[Screen], vector: str
) -> None:
    with pytest.raises(AssertionError):
        VECTORS[vector](attempt(planted_app, new_world, plant.address))


@pytest.mark.parametrize("vector", VECTORS)
def test_a_screen_that_looks_up_rows_soundly_passes(
    planted_app: Flask, world: World, no_row_security: None, vector: str
) -> None:
    VECTORS[vector](attempt(planted_app, world, SoundLookups.address))


def test_a_screen_without_a_permission_cannot_be_registered() -> None:
    class Forgotten(Screen):
        of, address, title = m.Label, "forgotten", "Forgotten"
        order = Order((m.Label.id,))

    with pytest.raises(TypeError, match="must declare which permission"):
        Forgotten()


def test_a_screen_with_another_kind_of_look_up_cannot_be_registered() -> None:
    class Careless(Labels):
        address = "careless"
        form_ajax_refs = {"team_id": {"fields": ["name"]}}

    with pytest.raises(TypeError, match="only through a Lookup"):
        Careless()


def test_a_screen_that_writes_without_naming_its_form_cannot_be_registered() -> None:
    class Formless(Labels):
        address, form = "formless", None

    with pytest.raises(TypeError, match="must name its form"):
        Formless()
