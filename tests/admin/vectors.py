"""The fourteen ways by which an admin view could show or change another organization's rows; each asks one view and asserts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import inspect

from tests.admin.worlds import House, World
from whatalker import security
from whatalker.admin.base import Screen
from whatalker.db import session
from whatalker.tenancy import across

CHANGED = "overwritten by a stranger"


@dataclass
class Attempt:
    """One view, asked by the owner of one organization about a row of another."""

    app: Flask
    view: Screen
    client: FlaskClient
    world: World
    who: House
    """Whose person asks."""
    other: House

    @property
    def foreign(self) -> uuid.UUID:
        return self.other.rows[self.view.of]

    @property
    def own(self) -> uuid.UUID:
        return self.who.rows[self.view.of]

    def open(self, name: str) -> bool:
        return any(rule[-2] == name for rule in self.view._urls)

    def get(self, path: str = "", **query: Any) -> Any:
        return self.seen(self.client.get(f"{self.view.url}/{path}", query_string=query))

    def post(self, path: str, query: dict[str, Any] | None = None, **form: Any) -> Any:
        return self.seen(self.client.post(f"{self.view.url}/{path}", query_string=query, data=form))

    def seen(self, answer: Any) -> Any:
        """No answer is a 500 or holds the other organization's canary."""
        assert answer.status_code < 500, answer.status_code
        assert self.other.canary not in answer.get_data(as_text=True), f"{self.view.url} shows the other's canary"
        return answer

    def asked(self, work: Callable[[], Any]) -> Any:
        """What the view itself answers inside such a request."""
        answer: list[Any] = []

        def remember(*args: Any, **kwargs: Any) -> None:
            answer.append(work())

        with self.app.test_request_context():
            security.doorkeeper.g.actor = self.who.owner
            from whatalker.tenancy import Scope, enter

            enter(Scope(organization_id=self.who.organization.id, user_id=self.who.owner.user_id))
            remember()
        return answer[0]

    def stored(self) -> dict[str, Any] | None:
        """The other organization's row as it is now."""
        with self.app.app_context(), across("test"):
            row = session.query(self.view.of).filter_by(id=self.foreign).one_or_none()
            return {column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs} if row else None

    def form_values(self) -> dict[str, Any]:
        """Something for every field of the form, and for every column of the model although it is in no form."""
        columns = {column.key: CHANGED for column in inspect(self.view.of).column_attrs}
        form = self.asked(lambda: [(field.short_name, field.type) for field in self.view.get_edit_form()()])
        return columns | {name: "1" if kind == "IntegerField" else CHANGED for name, kind in form}


def the_list(a: Attempt) -> None:
    assert str(a.own) in a.get().get_data(as_text=True), "one's own row is not in the list"


def the_count(a: Attempt) -> None:
    everything = a.asked(lambda: session.scalar(a.view.get_count_query()))
    assert everything == a.asked(lambda: len(session.scalars(a.view.get_query()).unique().all()))
    assert everything == own_count(a), "the count counts the other's rows"


def own_count(a: Attempt) -> int:
    with a.app.app_context(), across("test"):
        query = session.query(a.view.of)
        if a.view.of.__tablename__ == "organization":
            return 1
        return query.filter_by(organization_id=a.who.organization.id).count()


def the_search(a: Attempt) -> None:
    for text in ("canary", a.other.canary[:-1], "", "%", "_", "Contact", "Owner"):
        a.get(search=text)


def the_filters(a: Attempt) -> None:
    """By another organization's ids, and by every value a filter offers: no row of theirs, and no word on whether it exists."""
    for name in a.view.within:
        for id in (*a.other.rows.values(), uuid.uuid4()):
            assert a.get(**{name: id}).status_code == 200
    for name, _label, words in a.view.filters():
        for value, _word in words:
            a.get(**{name: value})


def the_export(a: Attempt) -> None:
    if a.open("export"):
        answer = a.get("export/csv/")
        assert answer.status_code == 200 and len(answer.get_data(as_text=True).splitlines()) > 1
    else:
        assert a.get("export/csv/").status_code == 404


def the_details(a: Attempt) -> None:
    assert a.get("details/", id=a.own).status_code == 200
    assert [a.get("details/", id=id).status_code for id in (a.foreign, uuid.uuid4())] == [404, 404]


def the_edit_form(a: Attempt) -> None:
    if a.open("edit_view"):
        assert a.get("edit/", id=a.own).status_code == 200
    assert [a.get("edit/", id=id).status_code for id in (a.foreign, uuid.uuid4())] == [404, 404]


def the_edit(a: Attempt) -> None:
    before, values = a.stored(), a.form_values()
    answers = [
        a.post("edit/", {"id": id}, **values | {"id": str(a.foreign)}).status_code for id in (a.foreign, uuid.uuid4())
    ]
    assert answers == [404, 404]
    a.post("edit/", {"id": a.own}, **values | {"id": str(a.foreign), "organization_id": str(a.other.organization.id)})
    assert a.stored() == before


def the_deletion(a: Attempt) -> None:
    before = a.stored()
    assert [a.post("delete/", id=str(id)).status_code for id in (a.foreign, uuid.uuid4())] == [404, 404]
    assert a.stored() == before


def the_inline_update(a: Attempt) -> None:
    before = a.stored()
    assert a.post("ajax/update/", list_form_pk=str(a.foreign), **a.form_values()).status_code == 404
    assert a.post("ajax/update/", list_form_pk=str(a.own), **a.form_values()).status_code == 404
    assert a.stored() == before


def the_actions(a: Attempt) -> None:
    before = a.stored()
    for name in [*a.view._actions_data, "delete", "nonsense"]:
        for ids in ([a.foreign], [a.own, a.foreign], [uuid.uuid4()], [a.own, "abc"], [uuid.uuid4()] * 1001):
            assert a.post("action/", action=name, rowid=[str(id) for id in ids]).status_code == 404
    assert a.stored() == before


def the_lookups(a: Attempt) -> None:
    """What a field that searches finds; one row that is not there is refused, never None, for None would empty the reference."""
    from whatalker.errors import NotFound

    names = list(a.view._form_ajax_refs) or ["team_id"]
    for name in names:
        for query in ({"query": ""}, {"query": "Team"}, {"query": "%"}, {"query": "a", "limit": 100000, "offset": 0}):
            answer = a.get("ajax/lookup/", name=name, **query)
            assert answer.status_code == (200 if a.view._form_ajax_refs else 404)
            assert answer.status_code == 404 or len(json.loads(answer.get_data())) <= 50
        assert a.get("ajax/lookup/", name=name, query="", offset=10**15).status_code == 404
    for loader in a.view._form_ajax_refs.values():
        for id in (a.other.rows[loader.model], uuid.uuid4(), "abc", None):
            try:
                found = a.asked(lambda loader=loader, id=id: loader.get_one(id))
            except NotFound:
                continue
            raise AssertionError(f"the look-up answered {found} for a row that is not theirs to see")


def the_choices(a: Attempt) -> None:
    """Select fields offer one's own rows, and take nothing else."""
    for form in {a.view.get_create_form(), a.view.get_edit_form()}:
        fields = a.asked(
            lambda form=form: [(f.short_name, getattr(f, "model", None), "".join(map(str, f()))) for f in form()]
        )
        for name, model, html in fields:
            assert a.other.canary not in html, f"{name} offers the other's rows"
            foreign = str(a.other.rows[model]) if model in a.other.rows else None
            if foreign is None:
                continue
            assert a.asked(lambda form=form, name=name, id=foreign: _refuses(form, name, id)), (
                f"{name} takes the other's row"
            )


def _refuses(form: Any, name: str, id: str) -> bool:
    from werkzeug.datastructures import MultiDict

    bound = form(MultiDict({name: id}))
    bound.validate()
    return bool(bound[name].errors)


def the_creation(a: Attempt) -> None:
    """What is made belongs to one's own organization, whatever was posted about that."""
    before = count_of(a, a.other)
    a.post("new/", **a.form_values() | {"organization_id": str(a.other.organization.id), "id": str(uuid.uuid4())})
    assert count_of(a, a.other) == before


def count_of(a: Attempt, house: House) -> int:
    with a.app.app_context(), across("test"):
        query = session.query(a.view.of)
        if a.view.of.__tablename__ == "organization":
            return query.count()
        return query.filter_by(organization_id=house.organization.id).count()


VECTORS: dict[str, Callable[[Attempt], None]] = {
    "list": the_list, "count": the_count, "search": the_search, "filters": the_filters, "export": the_export,
    "details": the_details, "edit form": the_edit_form, "edit": the_edit, "deletion": the_deletion,
    "inline update": the_inline_update, "actions": the_actions, "look-ups": the_lookups, "choices": the_choices,
    "creation": the_creation,
}  # fmt: skip
