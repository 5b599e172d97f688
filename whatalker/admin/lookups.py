"""What a field that searches while one types may find; its one rule: only what the person may see, and at most fifty of it."""

from __future__ import annotations

from typing import Any

from flask_admin.model.ajax import AjaxModelLoader
from flask_babel import gettext as _
from sqlalchemy.orm import InstrumentedAttribute

from whatalker import access, security
from whatalker.db import Model, session
from whatalker.errors import NotFound

MOST = 50
DEEPEST = 1_000


class Lookup(AjaxModelLoader):
    """Rows whose column begins with what was typed; a row that is not the person's to see is NotFound, never None.

    None would silently empty the reference that the form is about to store.
    """

    def __init__(self, name: str, model: type[Model], column: InstrumentedAttribute[Any]) -> None:
        super().__init__(name, {})
        self.model, self.column = model, column

    def format(self, model: Any) -> tuple[str, str] | None:
        return (str(model.id), str(getattr(model, self.column.key))) if model is not None else None

    def get_one(self, pk: Any) -> Any:
        return access.get(security.actor(), self.model, pk)

    def get_list(self, query: str | None, offset: int | None = 0, limit: int | None = 10) -> list[Any]:
        start, most = offset or 0, 10 if limit is None else limit
        if not 0 <= start <= DEEPEST:
            raise NotFound(_("There is nothing that far down the list."))
        text = (query or "").replace("\x00", "")[:100]
        asked = access.visible(security.actor(), self.model).where(self.column.istartswith(text, autoescape=True))
        return list(session.scalars(asked.order_by(self.column).offset(start).limit(min(max(most, 1), MOST))))
