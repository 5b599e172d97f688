"""Connected numbers and what the provider told us about them; secrets go in and never come out, and calls are made between transactions."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import StringField
from wtforms.validators import InputRequired, Length, Optional, Regexp

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen, deed
from whatalker.admin.fields import PickOne, ScreenForm, Secret
from whatalker.admin.keysets import Order
from whatalker.admin.words import LIMIT_WORDS, QUALITY_TONES, QUALITY_WORDS, STATE_TONES, STATE_WORDS
from whatalker.services import connecting

A, N = m.ChannelAccount, m.AccountNotice
UPDATE = Permission.CHANNEL_ACCOUNT_UPDATE


class NumberForm(ScreenForm):
    name = StringField(
        _l("Name"), [Optional(), Length(max=120)],
        description=_l("How your people know this number; empty: the verified name that contacts see."),
    )  # fmt: skip
    external_id = StringField(
        _l("Phone number id"), [InputRequired(), Length(max=32), Regexp(r"^[0-9]+$", message=_l("Digits only."))],
        description=_l("In WhatsApp Manager under API setup; it is not the phone number itself."),
    )  # fmt: skip
    business_id = StringField(
        _l("WhatsApp Business account id"),
        [InputRequired(), Length(max=32), Regexp(r"^[0-9]+$", message=_l("Digits only."))],
    )  # fmt: skip
    access_token = Secret(
        _l("Access token"), validators=[InputRequired(), Length(max=1000)],
        description=_l("A permanent token of a system user. It is stored encrypted and never shown again."),
        render_kw={"autocomplete": "off"},
    )  # fmt: skip
    app_secret = Secret(
        _l("App secret"), validators=[Optional(), Length(max=1000)], render_kw={"autocomplete": "off"},
        description=_l("Only when the number belongs to an app of your own."),
    )  # fmt: skip
    team_id = PickOne(
        _l("Team"), model=m.Team, none=_l("Everyone’s inbox"), description=_l("Whose inbox new conversations land in.")
    )


class NumberChangeForm(ScreenForm):
    name = StringField(_l("Name"), [InputRequired(), Length(max=120)])
    team_id = PickOne(
        _l("Team"), model=m.Team, none=_l("Everyone’s inbox"), description=_l("Whose inbox new conversations land in.")
    )
    access_token = Secret(
        _l("New access token"), validators=[Optional(), Length(max=1000)], render_kw={"autocomplete": "off"},
        description=_l("Empty: the stored one stays."),
    )  # fmt: skip
    app_secret = Secret(
        _l("New app secret"), validators=[Optional(), Length(max=1000)], render_kw={"autocomplete": "off"},
        description=_l("Empty: the stored one stays."),
    )  # fmt: skip


class Connections(Screen):
    of = A
    permission = Permission.CHANNEL_ACCOUNT_READ
    create_permission = edit_permission = UPDATE
    form = NumberForm
    title, group, address = _l("Connections"), "settings", "connections"
    intro = _l("The numbers your organization writes with, and how they are.")
    empty = _l("No number yet. Connect one and your conversations appear in the inbox as soon as a contact writes.")
    create_label = _l("Connect a number")
    order = Order((A.id,))
    related = {"team_id": m.Team}
    choices = {"state": (_l("State"), tuple(STATE_WORDS.items()))}
    column_list = ("name", "display_number", "state", "quality", "messaging_limit", "team_id")
    column_details_list = (
        "name", "display_number", "state", "state_reason", "quality", "messaging_limit", "throughput", "team_id", "asked_at",
        "channel", "external_id", "business_id", "secrets", "created_at", "id",
    )  # fmt: skip
    column_labels = {
        "name": _l("Name"), "display_number": _l("Number"), "state": _l("State"), "state_reason": _l("Why"),
        "quality": _l("Quality"), "messaging_limit": _l("Limit outside windows"), "throughput": _l("Messages a second"),
        "team_id": _l("Team"), "asked_at": _l("Last asked"), "channel": _l("Channel"), "external_id": _l("Phone number id"),
        "business_id": _l("Business account"), "secrets": _l("Secrets"), "created_at": _l("Connected"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "state": cells.badge(STATE_WORDS, STATE_TONES), "quality": cells.badge(QUALITY_WORDS, QUALITY_TONES),
        "messaging_limit": cells.badge(LIMIT_WORDS, {}), "team_id": cells.named(m.Team),
        "asked_at": lambda view, context, row, name: row.health.get("asked_at") or cells.EMPTY,
        "secrets": lambda view, context, row, name: _("Stored encrypted, never shown") if row.credentials else cells.EMPTY,
    }  # fmt: skip
    details_template = "screens/connection.html"

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        useless = {"active": {"resume"}, "disconnected": {"stop", "resume", "refresh", "disconnect"}}.get(
            row.state, {"stop"}
        )
        return {"deeds": self.deeds_for(row, useless)}

    def get_edit_form(self) -> Any:
        return NumberChangeForm

    def create_model(self, form: Any) -> Any:
        given, actor = form.given(), security.actor()
        organization_id = actor.organization_id
        assert organization_id is not None
        asked = self.attempt(lambda: connecting.make_sender(
            organization_id, given["external_id"], given["business_id"],
            {key: given[key] for key in ("access_token", "app_secret") if given[key]},
        ))  # fmt: skip
        # The transaction has ended: the provider is asked in none.
        health = asked and self.attempt_outside(lambda: connecting.ask_health("whatsapp", asked))
        if not health:
            return None
        return self.attempt(
            lambda: connecting.connect_number(actor, asked, health, name=given["name"] or "", team_id=given["team_id"])
        )

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        secrets = {key: values[key] or "" for key in ("access_token", "app_secret")}
        connecting.change_number(actor, row, name=values["name"], team_id=values["team_id"], **secrets)

    @deed(
        "stop", _l("Stop sending"), UPDATE, _l("Nothing more is sent through the chosen numbers until you resume them.")
    )
    def stop(self, rows: list[Any]) -> str:
        for row in rows:
            connecting.stop_by_hand(security.actor(), row)
        return _("Stopped. What contacts write still arrives; what you write waits.")

    @deed("resume", _l("Resume sending"), UPDATE)
    def resume(self, rows: list[Any]) -> str:
        for row in rows:
            connecting.resume_number(security.actor(), row)
        return _("Resumed. What waited is sent now.")

    @deed("refresh", _l("Refresh health and sync templates"), UPDATE)
    def refresh(self, rows: list[Any]) -> str:
        for row in rows:
            connecting.request_refresh(security.actor(), row)
        return _("Asked. The provider’s answer shows here in a few seconds; reload the page.")

    @deed("disconnect", _l("Disconnect"), UPDATE, _l("The chosen numbers stop for good and their secrets are deleted."))
    def disconnect(self, rows: list[Any]) -> str:
        for row in rows:
            connecting.disconnect_number(security.actor(), row)
        return _("Disconnected. The conversations stay readable.")


class AccountNotices(Screen):
    of = N
    permission = Permission.CHANNEL_ACCOUNT_READ
    title, group, address = _l("Account notices"), "settings", "account_notices"
    intro = _l("What the provider told us about your numbers and account that is not a message.")
    empty = _l("Nothing so far. The provider writes here when a quality, a limit or a name changes.")
    order = Order((N.id,), descending=True)
    related = {"channel_account_id": A}
    within = {"number": N.channel_account_id}
    column_list = ("field", "channel_account_id", "understood", "at")
    column_details_list = ("field", "channel_account_id", "understood", "at", "recorded_at", "payload", "id")
    column_labels = {
        "field": _l("News"), "channel_account_id": _l("Number"), "understood": _l("Acted on"), "at": _l("When"),
        "recorded_at": _l("Recorded"), "payload": _l("As it came"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {"channel_account_id": cells.named(A)}

    def heading(self, row: Any) -> str:
        return str(row.field)
