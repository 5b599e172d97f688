"""Whose a conversation is and where it stands: assign, team, resolve, snooze, labels; its one rule: plain forms that end in a redirect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import flash, g, redirect, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from whatalker import access, phones, security
from whatalker import models as m
from whatalker.access import Permission
from whatalker.db import now, transaction
from whatalker.errors import Conflict, Invalid, NotFound
from whatalker.services import auditing, contacting, conversing
from whatalker.web.inbox import panes, phrases
from whatalker.web.inbox.blueprint import blueprint

WORKS_ON_IT = (Permission.INBOX_OPEN, Permission.CONVERSATION_UPDATE)


@contextmanager
def saying_so() -> Iterator[None]:
    """A refusal is told on the page the person comes back to; what they typed elsewhere on it stays."""
    try:
        with transaction():
            yield
    except (Conflict, Invalid, NotFound) as refusal:
        flash(refusal.message, "bad")


def back(conversation_id: UUID | None = None) -> Response:
    """To the conversation, or to the list when it is not this person's to see any more."""
    actor = security.actor()
    filters = panes.filters_of(actor, request.args)
    sees = conversation_id is not None and access.sees(actor, m.Conversation, conversation_id)
    return redirect(panes.link(filters, conversation_id if sees else None), 303)


def change(conversation_id: UUID, act: Callable[[access.Actor, m.Conversation], object], done: str = "") -> Response:
    """Do one thing to a conversation this person sees, say how it went, and go back."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    with saying_so():
        act(actor, conversation)
        if done:
            flash(done, "good")
    return back(conversation_id)


@blueprint.post("/inbox/<uuid:conversation_id>/assign")
@security.guard(Permission.INBOX_OPEN, Permission.CONVERSATION_ASSIGN)
def assign(conversation_id: UUID) -> Response:
    """To me, to a colleague or to nobody; `expected` is whose it was on the page."""
    wanted, expected = request.form.get("assignee", ""), request.form.get("expected", "")
    to = security.actor().user_id if wanted == "me" else _id(wanted)
    return change(conversation_id, lambda actor, one: conversing.assign(actor, one, to, expected=_id(expected)))


@blueprint.post("/inbox/<uuid:conversation_id>/team")
@security.guard(Permission.INBOX_OPEN, Permission.CONVERSATION_ASSIGN)
def team(conversation_id: UUID) -> Response:
    to = _id(request.form.get("team", ""))
    return change(conversation_id, lambda actor, one: conversing.set_team(actor, one, to))


@blueprint.post("/inbox/<uuid:conversation_id>/resolve")
@security.guard(*WORKS_ON_IT)
def resolve(conversation_id: UUID) -> Response:
    """Done with it: back to the list, where the next one waits."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    with saying_so():
        conversing.resolve(actor, conversation)
        flash(_("Resolved. It comes back when %(name)s writes.", name=panes.name_of(actor, conversation)), "good")
    return back(conversation_id if request.form.get("stay") else None)


@blueprint.post("/inbox/<uuid:conversation_id>/reopen")
@security.guard(*WORKS_ON_IT)
def reopen(conversation_id: UUID) -> Response:
    return change(conversation_id, conversing.reopen)


@blueprint.post("/inbox/<uuid:conversation_id>/snooze")
@security.guard(*WORKS_ON_IT)
def snooze(conversation_id: UUID) -> Response:
    """Until one of the offered moments, or until a time of the person's own zone."""
    def act(actor: access.Actor, conversation: m.Conversation) -> None:
        until = _moment(request.form.get("until", ""), request.form.get("at", ""))
        conversing.snooze(actor, conversation, until)
        flash(_("Snoozed until %(time)s.", time=phrases.moment(until)), "good")

    return change(conversation_id, act)


@blueprint.post("/inbox/<uuid:conversation_id>/labels")
@security.guard(*WORKS_ON_IT)
def labels(conversation_id: UUID) -> Response:
    add, remove = request.form.get("add", ""), request.form.get("remove", "")
    if add:
        return change(conversation_id, lambda actor, one: conversing.add_label(actor, one, add))
    return change(conversation_id, lambda actor, one: conversing.remove_label(actor, one, remove))


@blueprint.post("/inbox/<uuid:conversation_id>/seen")
@security.guard(Permission.INBOX_OPEN)
def seen(conversation_id: UUID) -> tuple[str, int]:
    """The open page has shown what is new to somebody who was looking."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    with transaction():
        conversing.mark_seen(actor, conversation)
    return "", 204


@blueprint.post("/inbox/<uuid:conversation_id>/unread")
@security.guard(*WORKS_ON_IT)
def unread(conversation_id: UUID) -> Response:
    change(conversation_id, conversing.mark_unread)
    return back()


@blueprint.post("/inbox/<uuid:conversation_id>/block")
@security.guard(Permission.INBOX_OPEN, Permission.CONTACT_UPDATE)
def block(conversation_id: UUID) -> Response:
    """Nobody writes to this contact any more, or everybody may again."""
    act = contacting.block if request.form.get("blocked") == "1" else contacting.unblock
    return change(conversation_id, lambda actor, one: act(actor, one.contact))


@blueprint.post("/inbox/<uuid:conversation_id>/reveal")
@security.guard(Permission.INBOX_OPEN, Permission.CONTACT_REVEAL)
def reveal(conversation_id: UUID) -> str:
    """The contact's whole number, this once; the audit keeps who asked."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    with transaction():
        auditing.record(actor, "contact.revealed", conversation.contact, diff={})
    gathered = panes.gather(actor, None if security.wants_fragment() else conversation, lists=not security.wants_fragment())
    gathered.conversation = conversation
    identity = conversation.identity
    number = identity.phone or identity.wa_id
    shown = phones.display(number) if number else identity.user_id
    return panes.render("revealed" if security.wants_fragment() else "page", gathered, revealed=shown)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise NotFound(_("There is nothing here, or it is not yours to see.")) from None


def _moment(choice: str, typed: str) -> datetime:
    """What the snooze menu offers, in the person's own zone."""
    zone = ZoneInfo(g.time_zone) if getattr(g, "time_zone", None) else UTC
    here = now().astimezone(zone)
    tomorrow = (here + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    offered = {
        "1h": here + timedelta(hours=1), "3h": here + timedelta(hours=3), "tomorrow": tomorrow,
        "monday": tomorrow + timedelta(days=(7 - tomorrow.weekday()) % 7),
    }  # fmt: skip
    if choice in offered:
        return offered[choice].astimezone(UTC)
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(_("Choose a time in the future, at most a year away."), "bad_time") from None
