"""An organization, its standing and its settings; its own people change the settings, only the provider changes the standing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from flask import redirect, request
from flask_admin import expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, SelectField, StringField, TextAreaField
from wtforms.validators import Email, InputRequired, Length, NumberRange, Optional

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen, needs
from whatalker.admin.fields import ScreenForm, options
from whatalker.admin.keysets import Order
from whatalker.admin.letters import send_first_letter
from whatalker.admin.words import STANDING_TONES, STANDING_WORDS
from whatalker.db import now
from whatalker.language import LANGUAGES
from whatalker.services import chartering

ENFORCE = Permission.ORGANIZATION_ENFORCE
ZONES = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


class SettingsForm(ScreenForm):
    name = StringField(_l("Name"), [InputRequired(), Length(max=120)])
    country = StringField(
        _l("Country"), [InputRequired(), Length(min=2, max=2)], default="US",
        description=_l("Two letters, such as MX. Used where a contact’s own country is not known."),
    )  # fmt: skip
    language = SelectField(_l("Language"), choices=options(LANGUAGES))
    time_zone = SelectField(_l("Time zone"), choices=options({zone: zone for zone in ZONES}), default="UTC")


class NewOrganizationForm(SettingsForm):
    slug = StringField(
        _l("Short name"),
        [InputRequired(), Length(max=40)],
        description=_l("Small letters, digits, hyphens; never used twice."),
    )
    owner_email = StringField(
        _l("Owner’s e-mail"), [InputRequired(), Email(), Length(max=254)],
        description=_l("They get a letter in which they choose their password."),
    )  # fmt: skip
    owner_name = StringField(_l("Owner’s name"), [Optional(), Length(max=120)])


class StandingForm(ScreenForm):
    reason = TextAreaField(
        _l("Reason"), [InputRequired(), Length(min=8, max=500)], description=_l("Its people read this sentence.")
    )
    days = IntegerField(
        _l("Days"),
        [Optional(), NumberRange(1, 365)],
        description=_l("When the suspension ends; empty: until it is reviewed."),
    )


class Organizations(Screen):
    of = m.Organization
    permission = Permission.ORGANIZATION_READ
    create_permission, edit_permission = Permission.ORGANIZATION_CREATE, Permission.ORGANIZATION_UPDATE
    form = NewOrganizationForm
    title, group, address = _l("Organizations"), "settings", "organizations"
    intro = _l("What is known about an organization, and whether it may send.")
    empty = _l("No organization is in sight.")
    create_label = _l("New organization")
    order = Order((m.Organization.id,))
    choices = {"standing": (_l("Standing"), tuple(STANDING_WORDS.items()))}
    column_list = ("name", "slug", "standing", "country", "language", "created_at")
    column_details_list = (
        "name", "slug", "standing", "standing_reason", "standing_until", "country", "language", "time_zone", "created_at", "id",
    )  # fmt: skip
    column_labels = {
        "name": _l("Name"), "slug": _l("Short name"), "standing": _l("Standing"), "standing_reason": _l("Why"),
        "standing_until": _l("Until"), "country": _l("Country"), "language": _l("Language"), "time_zone": _l("Time zone"),
        "created_at": _l("Since"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {"standing": cells.badge(STANDING_WORDS, STANDING_TONES)}
    details_template = "screens/organization.html"

    def get_edit_form(self) -> Any:
        return SettingsForm

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        values["owner_name"] = values["owner_name"] or ""
        organization, membership, is_new = chartering.create_organization(actor, **values)
        if is_new:
            send_first_letter(membership.user_id)
        return organization

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        chartering.update_organization(actor, row, **values)

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        enforces = self.may(ENFORCE) and row.standing in ("active", "suspended")
        return {"standing_form": StandingForm() if enforces else None}

    @expose("/standing/", methods=("POST",))
    @needs(ENFORCE)
    def standing(self) -> Any:
        """Suspend an active organization, or reinstate a suspended one; the reason is asked for either way."""
        row, form, actor = self.get_one(request.form.get("id")), StandingForm(request.form), security.actor()
        if not form.validate():
            self.say(_("Say in 8 to 500 characters why; its people read it. Days are 1 to 365."), "error")
        elif row.standing == "suspended":
            self.attempt(lambda: chartering.reinstate_organization(actor, row, form.reason.data))
        else:
            until = now() + timedelta(days=form.days.data) if form.days.data else None
            self.attempt(lambda: chartering.suspend_organization(actor, row, form.reason.data, until))
        return redirect(self.get_url(".details_view", id=row.id))
