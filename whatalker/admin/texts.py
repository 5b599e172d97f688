"""Texts kept ready: the provider's templates, canned replies and labels; a template is changed at the provider and synced here."""

from __future__ import annotations

from typing import Any, ClassVar

from flask_babel import lazy_gettext as _l
from sqlalchemy import Select
from wtforms import SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Regexp

from whatalker import models as m
from whatalker.access import Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen
from whatalker.admin.fields import ScreenForm, options
from whatalker.admin.keysets import Order
from whatalker.admin.words import CATEGORY_WORDS, QUALITY_TONES, QUALITY_WORDS, TEMPLATE_TONES, TEMPLATE_WORDS
from whatalker.language import LANGUAGES
from whatalker.services import equipping

T = m.Template


class Templates(Screen):
    of = T
    permission = Permission.TEMPLATE_READ
    title, group, address = _l("Templates"), "messages", "templates"
    intro = _l("Texts the provider has reviewed. Only an approved one can be sent outside the 24-hour window.")
    empty = _l("No template yet. Create one in WhatsApp Manager, then open Connections and choose “Refresh health and sync templates”.")
    order = Order((T.business_id, T.name, T.language, T.id))
    choices = {
        "status": (_l("Status"), tuple(TEMPLATE_WORDS.items())),
        "category": (_l("Category"), tuple(CATEGORY_WORDS.items())),
    }
    search_hint = _l("Beginning of the name")
    column_list = ("name", "language", "category", "status", "status_reason", "quality", "synced_at")
    column_details_list = (
        "name", "language", "category", "status", "status_reason", "quality", "provider_id", "business_id", "synced_at",
        "removed_at", "id",
    )  # fmt: skip
    column_labels = {
        "name": _l("Name"), "language": _l("Language"), "category": _l("Category"), "status": _l("Status"),
        "status_reason": _l("Reason"), "quality": _l("Quality"), "synced_at": _l("Last asked"),
        "removed_at": _l("Gone at the provider since"), "provider_id": _l("Provider's id"),
        "business_id": _l("Business account"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "status": cells.badge(TEMPLATE_WORDS, TEMPLATE_TONES), "category": cells.badge(CATEGORY_WORDS, {}),
        "quality": cells.badge(QUALITY_WORDS, QUALITY_TONES), "status_reason": cells.long_text(80),
    }  # fmt: skip
    details_template = "screens/template.html"

    def found(self, query: Select[Any], text: str) -> Select[Any]:
        return query.where(T.name.startswith(text.lower().replace(" ", "_"), autoescape=True))

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        parts = {part.get("type", ""): part for part in row.components if isinstance(part, dict)}
        return {"parts": parts}


class CannedReplyForm(ScreenForm):
    shortcut = StringField(
        _l("Shortcut"),
        [
            InputRequired(),
            Length(max=40),
            Regexp(r"^[\w-]+$", message=_l("Letters, digits, hyphen and underscore only.")),
        ],
        description=_l("What an agent types after the slash, such as hours."),
    )
    text = TextAreaField(
        _l("Text"), [InputRequired(), Length(max=4096)],
        description=_l("{{contact.name}}, {{agent.name}} and {{organization.name}} are filled in."),
        render_kw={"rows": 6},
    )  # fmt: skip
    language = SelectField(_l("Language"), choices=options(LANGUAGES), default="en")


class CannedReplies(Screen):
    of = m.CannedReply
    permission = create_permission = edit_permission = delete_permission = Permission.CANNED_REPLY_UPDATE
    form = CannedReplyForm
    title, group, address = _l("Canned replies"), "messages", "canned_replies"
    intro = _l("Texts your agents use often. In the inbox they type / and the shortcut.")
    empty = _l("No canned reply yet. Write the answer your agents give most often and give it a short name.")
    create_label = _l("New canned reply")
    delete_warning = _l("Messages already sent with it stay as they are.")
    order = Order((m.CannedReply.shortcut, m.CannedReply.id))
    column_list = ("shortcut", "text", "language")
    column_details_list = ("shortcut", "text", "language", "id")
    column_labels = {"shortcut": _l("Shortcut"), "text": _l("Text"), "language": _l("Language"), "id": _l("Id")}
    column_formatters = {"text": cells.long_text(100)}
    column_formatters_detail: ClassVar[dict[str, Any]] = {}

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        return equipping.create_canned_reply(actor, **values)

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        equipping.change_canned_reply(actor, row, **values)

    def remove(self, actor: Actor, row: Any) -> None:
        equipping.delete_canned_reply(actor, row)


class LabelForm(ScreenForm):
    name = StringField(_l("Name"), [InputRequired(), Length(max=40)])
    colour = SelectField(_l("Colour"), choices=options(equipping.COLOURS), default="grey")


class Labels(Screen):
    of = m.Label
    permission = create_permission = edit_permission = delete_permission = Permission.LABEL_UPDATE
    form = LabelForm
    title, group, address = _l("Labels"), "messages", "labels"
    intro = _l("Words your agents put on conversations.")
    empty = _l("No label yet. Good first ones say what a conversation is about, such as “order” or “refund”.")
    create_label = _l("New label")
    delete_warning = _l("It is taken off every conversation that carries it.")
    order = Order((m.Label.name, m.Label.id))
    column_list = ("name", "colour")
    column_details_list = ("name", "colour", "id")
    column_labels = {"name": _l("Name"), "colour": _l("Colour"), "id": _l("Id")}
    column_formatters = {"colour": cells.badge(equipping.COLOURS, {})}

    def create(self, actor: Actor, values: dict[str, Any]) -> Any:
        return equipping.create_label(actor, **values)

    def update(self, actor: Actor, row: Any, values: dict[str, Any]) -> None:
        equipping.change_label(actor, row, **values)

    def remove(self, actor: Actor, row: Any) -> None:
        equipping.delete_label(actor, row)
