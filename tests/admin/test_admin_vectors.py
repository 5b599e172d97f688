"""Every admin view, by every vector, with the database's own guard and without it: two walls, each of which must hold alone."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.admin.vectors import VECTORS, Attempt
from tests.admin.worlds import World
from tests.visiting import visit
from whatalker import admin
from whatalker.access import Permission
from whatalker.admin.base import Page, Screen

STAFF_ONLY = {"webhook_calls"}
SCREENS = [page for page in admin.screens() if issubclass(page, Screen) and page.address not in STAFF_ONLY]


def view_of(app: Flask, address: str) -> Screen:
    return next(view for view in app.extensions["admin"][0]._views if getattr(view, "address", "") == address)


def attempt(app: Flask, world: World, address: str) -> Attempt:
    return Attempt(app, view_of(app, address), visit(app, world.ours.owner), world, world.ours, world.theirs)


@pytest.fixture(params=["guarded database", "unguarded database"])
def wall(request: pytest.FixtureRequest) -> str:
    if request.param == "unguarded database":
        request.getfixturevalue("no_row_security")
    return str(request.param)


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.address)
def test_no_view_shows_or_changes_a_row_of_another_organization(
    whole_app: Flask, world: World, wall: str, screen: type[Screen], vector: str
) -> None:
    VECTORS[vector](attempt(whole_app, world, screen.address))


def test_there_are_fourteen_vectors_and_every_screen_is_asked() -> None:
    assert len(VECTORS) == 14 and len(SCREENS) >= 14


def test_every_admin_view_is_a_screen_or_a_page_with_its_permission(whole_app: Flask) -> None:
    for view in whole_app.extensions["admin"][0]._views:
        assert isinstance(view, Page) and isinstance(view.permission, Permission), view
        for rule in view._urls:
            assert Permission.ADMIN_OPEN in view.guard_of_view(rule[-2]).permissions


ROW_METHODS = ("get_query", "get_count_query", "get_one", "get_many", "get_list", "asked", "look_up_names", "handle_action",
               "is_accessible", "_handle_view", "attempt", "may", "get_export_value")  # fmt: skip


def test_no_screen_replaces_what_keeps_its_rows_in() -> None:
    replaced: dict[str, Any] = {
        f"{screen.__name__}.{name}": screen
        for screen in admin.screens()
        for name in ROW_METHODS
        if name in vars(screen)
    }
    assert not replaced


@pytest.mark.parametrize("address", sorted(STAFF_ONLY))
def test_views_of_the_provider_are_closed_to_every_member(whole_app: Flask, world: World, address: str) -> None:
    client, view = visit(whole_app, world.ours.owner), view_of(whole_app, address)
    for path in ("", f"details/?id={world.call}"):
        assert client.get(f"{view.url}/{path}").status_code == 403
