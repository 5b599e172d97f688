"""Choosing a template and filling it in; its one rule: the form is made from the parts the provider stores, and shows what will be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import make_response, redirect, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from whatalker import access, security
from whatalker import models as m
from whatalker.access import Actor, Permission, visible
from whatalker.db import new_id, session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed
from whatalker.services import composing, conversing
from whatalker.web.inbox import panes
from whatalker.web.inbox.blueprint import blueprint
from whatalker.web.inbox.composer import Check, check_lines

VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
BLANK = "▢"
GUARDS = (Permission.INBOX_OPEN, Permission.MESSAGE_SEND, Permission.TEMPLATE_READ)


@dataclass(frozen=True, slots=True)
class Blank:
    """One field of the form."""

    name: str
    """As the form sends it and as composing.render_template takes it."""
    label: str
    example: str
    kind: str = "text"
    required: bool = True


@dataclass(slots=True)
class Form:
    """A template as a form, what was filled in, and how it reads."""

    template: m.Template
    blanks: list[Blank]
    values: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    text: str = ""
    checks: list[Check] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return all(self.values.get(blank.name, "").strip() for blank in self.blanks if blank.required)


@blueprint.get("/inbox/<uuid:conversation_id>/templates")
@security.guard(*GUARDS)
def templates(conversation_id: UUID) -> str:
    """The templates of this conversation's number: approved ones to choose, the others with the reason why not."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    fragment = security.wants_fragment()
    gathered = panes.gather(actor, None if fragment else conversation, lists=not fragment)
    gathered.conversation = conversation
    found = _found(actor, gathered, request.args.get("q", ""), request.args.get("category", ""), request.args.get("language", ""))
    return panes.render("templates" if fragment else "page", gathered, template_list=found, **_names())


@blueprint.get("/inbox/<uuid:conversation_id>/templates/<uuid:template_id>")
@security.guard(*GUARDS)
def template_form(conversation_id: UUID, template_id: UUID) -> str:
    """One template to fill in."""
    return _show(conversation_id, template_id, {})


@blueprint.post("/inbox/<uuid:conversation_id>/templates/<uuid:template_id>/preview")
@security.guard(*GUARDS)
def template_preview(conversation_id: UUID, template_id: UUID) -> str:
    """How it reads with these values, and what the gate would answer."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    form = _fill(actor, conversation, _template(actor, conversation, template_id), request.form.to_dict())
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversation
    return panes.render("template_preview", gathered, form=form, **_names())


@blueprint.post("/inbox/<uuid:conversation_id>/templates/<uuid:template_id>")
@security.guard(*GUARDS)
def send_template(conversation_id: UUID, template_id: UUID) -> Response:
    """Send it; what is missing or refused comes back with everything that was filled in."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    template = _template(actor, conversation, template_id)
    form = _form(template, request.form.to_dict())
    client_id = request.form.get("client_message_id", "")
    try:
        if not form.complete:
            raise Invalid(_("Fill in every field first."), "incomplete")
        content, text = composing.render_template(template, form.values)
        with transaction():
            composing.queue_message(
                actor, conversation, "template", content, text=text, template=template, client_message_id=UUID(client_id)
            )
    except (Invalid, Conflict, NotAllowed) as refusal:
        return make_response(_show(conversation_id, template_id, form.values, refusal.message), 422)
    except ValueError:
        raise Invalid(_("This form has expired. Reload the page and send it again."), "form_expired") from None
    return redirect(panes.link(panes.filters_of(actor, request.args), conversation_id) + "#end", 303)


def _show(conversation_id: UUID, template_id: UUID, values: dict[str, str], problem: str = "") -> str:
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    form = _fill(actor, conversation, _template(actor, conversation, template_id), values)
    if problem:
        form.checks = [Check("bad", problem)]
        form.problems = {blank.name: _("Missing") for blank in form.blanks if not values.get(blank.name, "").strip()}
    fragment = security.wants_fragment()
    gathered = panes.gather(actor, None if fragment else conversation, lists=not fragment)
    gathered.conversation = conversation
    client_id = request.form.get("client_message_id") or str(new_id())
    return panes.render("template_form" if fragment else "page", gathered, form=form, client_id=client_id, **_names())


def _template(actor: Actor, conversation: m.Conversation, id: UUID) -> m.Template:
    account = access.get(actor, m.ChannelAccount, conversation.channel_account_id)
    template = access.get(actor, m.Template, id)
    if template.business_id != account.business_id or template.removed_at:
        raise Invalid(_("This template belongs to another number."), "other_number")
    return template


def _found(actor: Actor, gathered: panes.Panes, text: str, category: str, language: str) -> dict[str, Any]:
    assert gathered.conversation is not None
    number = gathered.frame.numbers[gathered.conversation.channel_account_id]
    table = m.Template
    query = visible(actor, table).where(table.business_id == number.business_id, table.removed_at.is_(None))
    every = list(session.scalars(query.order_by(table.name, table.language).limit(500)))
    words = text.lower().split()
    if gathered.conversation.marketing_stopped_at:
        every = [one for one in every if one.category != "MARKETING"]
    shown = [
        one for one in every
        if (not category or one.category == category) and (not language or one.language == language)
        and all(word in f"{one.name} {body_of(one)}".lower() for word in words)
    ]  # fmt: skip
    return {
        "approved": [one for one in shown if one.status == "APPROVED"],
        "others": [one for one in shown if one.status != "APPROVED"],
        "categories": sorted({one.category for one in every}), "languages": sorted({one.language for one in every}),
        "text": text, "category": category, "language": language, "any": bool(every), "body_of": body_of,
        "why_not": why_not,
    }  # fmt: skip


def body_of(template: m.Template) -> str:
    return _part(template, "BODY")


def _part(template: m.Template, kind: str) -> str:
    return next((str(part.get("text") or "") for part in template.components if _type(part) == kind), "")


def buttons_of(template: m.Template) -> list[str]:
    """The titles of its buttons, as they stand under the message."""
    part: dict[str, Any] = next((part for part in template.components if _type(part) == "BUTTONS"), {})
    return [str(button.get("text") or "") for button in part.get("buttons") or [] if isinstance(button, dict)]


def why_not(template: m.Template) -> str:
    """Why a template cannot be chosen."""
    said = {
        "PENDING": _("WhatsApp is still reviewing it"), "PAUSED": _("Paused by WhatsApp for low quality"),
        "REJECTED": _("Rejected by WhatsApp"), "DISABLED": _("Disabled by WhatsApp"),
    }.get(template.status, template.status)  # fmt: skip
    return f"{said}: {template.status_reason}" if template.status_reason else said


def _type(part: Any) -> str:
    return str(part.get("type", "")).upper() if isinstance(part, dict) else ""


def _form(template: m.Template, values: dict[str, str]) -> Form:
    blanks = [_blank(template, one) for one in composing.template_fields(template)]
    return Form(template, blanks, {blank.name: values.get(blank.name, "")[:1024] for blank in blanks})


def _blank(template: m.Template, one: composing.TemplateField) -> Blank:
    """A field of the form, its label taken from the words around the blank."""
    part, _line, name = one.key.partition("_")
    label = one.label
    if part == "body":
        label = _around(body_of(template), name)
    elif part == "header" and VARIABLE.search(one.label):
        label = _("Title: %(text)s", text=_around(_part(template, "HEADER"), name))
    elif part == "button" and one.kind == "text":
        label = _("Button “%(title)s”: end of the address", title=one.label)
    return Blank(one.key, label, one.example, "url" if one.kind == "link" else "text", one.required)


def _around(text: str, name: str) -> str:
    """A few words on both sides of the blank, so that its label says what belongs there."""
    words = VARIABLE.sub(lambda found: BLANK if found[1] == name else "…", text).split()
    at = next((number for number, word in enumerate(words) if BLANK in word), None)
    if at is None:
        return name
    said = " ".join(words[max(0, at - 3) : at + 4])
    return said if name.isdigit() else f"{name}: {said}"


def _fill(actor: Actor, conversation: m.Conversation, template: m.Template, values: dict[str, str]) -> Form:
    form = _form(template, values)
    filled = {blank.name: form.values[blank.name] or _stand_in(blank) for blank in form.blanks}
    shown = Form(template, form.blanks, filled)
    try:
        content, form.text = composing.render_template(template, shown.values)
        with transaction():
            decision = composing.preview(actor, conversation, "template", content, template=template)
        form.checks = check_lines(decision)
    except Invalid as refusal:
        form.text, form.checks = body_of(template), [Check("bad", refusal.message)]
    return form


def _stand_in(blank: Blank) -> str:
    """What the preview shows in a blank that is still empty."""
    return blank.example or {"url": "https://example.com/file"}.get(blank.kind, "…")


def _names() -> dict[str, Any]:
    categories = {"MARKETING": _("Marketing"), "UTILITY": _("Utility"), "AUTHENTICATION": _("Login code")}
    return {"category_names": categories, "template_buttons": buttons_of}
