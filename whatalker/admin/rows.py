"""Which rows a Screen shows, in which order; its one rule: every query begins at access.visible, and no list counts or skips rows."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flask import g, request
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute

from whatalker import access, security
from whatalker.admin import keysets
from whatalker.db import Model, session
from whatalker.errors import NotFound
from whatalker.models import Organization

MOST_SELECTED = 1_000
MOST_EXPORTED = 5_000
PAGE = 50


class Rows:
    """The rows of one model, as the person who asks may see them.

    of        the model.
    order     what the list is sorted by; sortings: other orders a person may choose, by column. Each walks an index.
    choices   filters: column → (label, [(value, word)]).
    conditions  filters by something that is no column: name → (label, [(value, word, condition)]).
    within    filters by another row's id: query argument → column.
    related   columns that point to other rows, whose names are looked up by one query for each model.
    options   loader options for what a row shows of its neighbours.
    """

    of: ClassVar[type[Model]]
    order: ClassVar[keysets.Order]
    sortings: ClassVar[Mapping[str, keysets.Order]] = {}
    choices: ClassVar[Mapping[str, tuple[Any, Sequence[tuple[str, Any]]]]] = {}
    conditions: ClassVar[Mapping[str, tuple[Any, Sequence[tuple[str, Any, ColumnElement[bool]]]]]] = {}
    within: ClassVar[Mapping[str, InstrumentedAttribute[Any]]] = {}
    related: ClassVar[Mapping[str, type[Model]]] = {}
    options: ClassVar[tuple[Any, ...]] = ()
    only: ClassVar[tuple[ColumnElement[bool], ...]] = ()
    """What a list leaves out although its details open: signposts of merged rows, for example."""
    search_hint: ClassVar[Any] = None
    """What the search box finds; empty: there is no search. `found` is the query it makes."""

    def get_query(self) -> Select[Any]:
        return access.visible(security.actor(), self.of).options(*self.options)

    def get_count_query(self) -> Select[Any]:
        return select(func.count()).select_from(access.visible(security.actor(), self.of).subquery())

    def get_one(self, id: Any) -> Any:
        row = access.get(security.actor(), self.of, id, *self.options)
        self.look_up_names([row])
        return row

    def get_many(self, ids: Sequence[str]) -> list[Any]:
        """All of these rows, or NotFound when one of them is not the person's to see."""
        keys = {key_of(id) for id in ids[: MOST_SELECTED + 1]}
        rows = list(session.scalars(self.get_query().where(self.of.id.in_(keys))).unique())  # type: ignore[attr-defined]
        if len(ids) > MOST_SELECTED or len(rows) != len(keys):
            raise NotFound(_("There is nothing here, or it is not yours to see."))
        return rows

    def get_pk_value(self, model: Any) -> str:
        return str(model.id)

    def found(self, query: Select[Any], text: str) -> Select[Any]:
        """The rows that the search box means by this text."""
        raise NotImplementedError

    def asked(self) -> tuple[Select[Any], keysets.Order]:
        """The query of this request, with its filters, search and order; a value nobody could have chosen is NotFound."""
        query = self.get_query().where(*self.only)
        for name, (_label, words) in self.choices.items():
            if value := request.args.get(name, ""):
                if value not in {str(word[0]) for word in words}:
                    raise NotFound(_("There is no such filter; open the list again."))
                query = query.where(getattr(self.of, name) == value)
        for name, (_label, tests) in self.conditions.items():
            if value := request.args.get(name, ""):
                meant = [condition for key, _word, condition in tests if key == value]
                if not meant:
                    raise NotFound(_("There is no such filter; open the list again."))
                query = query.where(*meant)
        for name, column in self.within.items():
            if value := request.args.get(name, ""):
                query = query.where(column == key_of(value))
        text = request.args.get("search", "").replace("\x00", "").strip()[:100]
        if text and self.search_hint:
            query = self.found(query, text)
        sort = request.args.get("sort", "")
        if sort and sort.removeprefix("-") not in self.sortings:
            raise NotFound(_("This list cannot be sorted like that; open it again."))
        order = (
            keysets.Order(self.sortings[sort.removeprefix("-")].columns, sort.startswith("-")) if sort else self.order
        )
        return query, order

    def get_list(
        self,
        page: Any,
        sort_column: Any,
        sort_desc: Any,
        search: Any,
        filters: Any,
        *more: Any,
        page_size: int | None = None,
    ) -> tuple[None, list[Any]]:
        """What an export takes: the first rows of the list as it is on the page, never more than MOST_EXPORTED."""
        query, order = self.asked()
        rows = list(keysets.fetch(query, order, None, min(page_size or PAGE, MOST_EXPORTED)).rows)
        self.look_up_names(rows)
        return None, rows

    def of_several(self) -> bool:
        """Whether the person looks at more than one organization, as the provider's own people may."""
        return security.actor().organization_id is None and hasattr(self.of, "organization_id")

    def look_up_names(self, rows: Sequence[Any]) -> None:
        names = g.setdefault("names", {})
        related: dict[str, Any] = {**self.related, **({"organization_id": Organization} if self.of_several() else {})}
        for model in set(related.values()):
            wanted = {getattr(row, name) for row in rows for name, other in related.items() if other is model} - {None}
            wanted -= {key for known, key in names if known is model}
            if wanted:
                query = access.visible(security.actor(), model).where(model.id.in_(wanted))
                names.update({(model, row.id): str(row) for row in session.scalars(query)})

    def filters(self) -> list[tuple[str, Any, list[tuple[str, Any]]]]:
        """(name, label, [(value, word)]) of every select the list offers."""
        offered = [(name, label, list(words)) for name, (label, words) in self.choices.items()]
        return offered + [
            (name, label, [(value, word) for value, word, _test in tests])
            for name, (label, tests) in self.conditions.items()
        ]

    def narrowed(self) -> bool:
        """Whether something the person chose leaves rows out."""
        return any(request.args.get(name) for name in (*self.choices, *self.conditions, *self.within, "search"))

    def here(self, **changes: Any) -> str:
        """The address of this list with its filters, and these changes."""
        kept = {
            name: request.args.get(name) for name in (*self.choices, *self.conditions, *self.within, "search", "sort")
        }
        address: str = self.get_url(".index_view", **{name: value for name, value in (kept | changes).items() if value})  # type: ignore[attr-defined]
        return address


def key_of(text: str) -> uuid.UUID:
    """The id, or NotFound for what is none."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound(_("There is nothing here, or it is not yours to see.")) from None
