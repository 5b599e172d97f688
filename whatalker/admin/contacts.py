"""Contacts, with their numbers masked; a number is shown for one page after a click that the audit keeps."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import Select
from sqlalchemy.orm import selectinload
from wtforms import StringField
from wtforms.validators import InputRequired, Length, Optional

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission, can
from whatalker.admin import cells
from whatalker.admin.base import Screen, deed, needs
from whatalker.admin.fields import ScreenForm
from whatalker.admin.keysets import Order
from whatalker.services import contacting, revealing

C = m.Contact
UPDATE = Permission.CONTACT_UPDATE


def numbers(view: Any, context: Any, row: m.Contact, name: str) -> Any:
    """Masked in every list, page and export."""
    return ", ".join(contacting.masked(identity) for identity in row.identities) or cells.EMPTY


def name(view: Any, context: Any, row: m.Contact, name: str) -> str:
    return contacting.display_name(row, row.identities[0] if row.identities else None)


class ContactForm(ScreenForm):
    number = StringField(
        _l("WhatsApp number"),
        [InputRequired(), Length(max=40)],
        description=_l("With its country code, such as +57 300 123 4567."),
    )
    name = StringField(_l("Name"), [Optional(), Length(max=200)])


class ContactNameForm(ScreenForm):
    name = StringField(
        _l("Name"),
        [Optional(), Length(max=200)],
        description=_l("Empty: the name from their own profile is used again."),
    )


class Contacts(Screen):
    of = C
    permission = export_permission = Permission.CONTACT_READ
    create_permission = edit_permission = UPDATE
    form = ContactForm
    title, group, address = _l("Contacts"), "people", "contacts"
    intro = _l("The people your organization talks to. Numbers are masked; the search finds the last four digits.")
    empty = _l("No contact yet. One appears as soon as somebody writes to one of your numbers.")
    create_label = _l("Add a contact")
    order = Order((C.created_at, C.id), descending=True)
    only = (C.merged_into_id.is_(None),)
    options = (selectinload(C.identities),)
    search_hint = _l("Beginning of a name, or the last four digits")
    column_list = ("name", "numbers", "country", "language", "created_at")
    column_details_list = (
        "name",
        "numbers",
        "country",
        "language",
        "time_zone",
        "email",
        "blocked_at",
        "created_at",
        "id",
    )
    column_labels = {
        "name": _l("Name"), "numbers": _l("Number"), "country": _l("Country"), "language": _l("Language"),
        "time_zone": _l("Time zone"), "email": _l("E-mail"), "blocked_at": _l("Blocked since"), "created_at": _l("Since"),
        "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {"name": name, "numbers": numbers}
    details_template = "screens/contact.html"

    def found(self, query: Select[Any], text: str) -> Select[Any]:
        return contacting.matching(security.actor(), text).options(*self.options)

    def heading(self, row: Any) -> str:
        return name(self, None, row, "name")

    def get_edit_form(self) -> Any:
        return ContactNameForm

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        return {
            "deeds": self.deeds_for(row, {"block"} if row.blocked_at else {"unblock"}),
            "may_reveal": can(actor, Permission.CONTACT_REVEAL),
            "revealed": None,
        }

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        return contacting.add_contact(actor, values["number"], values["name"] or "")

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        contacting.rename(actor, row, values["name"] or "")

    @expose("/reveal/", methods=("POST",))
    @needs(Permission.CONTACT_REVEAL)
    def reveal(self) -> Any:
        row, actor = self.get_one(request.form.get("id")), security.actor()
        revealed = self.attempt(lambda: revealing.reveal(actor, row))
        return self.render(
            self.details_template, row=row, columns=self.columns(self._details_columns), get_value=self.get_detail_value,
            heading=self.heading(row), **self.details(actor, row) | {"revealed": revealed},
        )  # fmt: skip

    @deed(
        "block", _l("Block"), UPDATE, _l("Nobody writes to the chosen contacts any more until someone unblocks them.")
    )
    def block(self, rows: list[Any]) -> str:
        for row in rows:
            contacting.block(security.actor(), row)
        return _("Blocked. What they write still arrives.")

    @deed("unblock", _l("Unblock"), UPDATE)
    def unblock(self, rows: list[Any]) -> str:
        for row in rows:
            contacting.unblock(security.actor(), row)
        return _("Unblocked. You can write to them again.")
