"""What the three panes are filled with; its one rule: it asks services for what this person may see and decides nothing itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from whatalker import access, security
from whatalker import models as m
from whatalker.access import Actor, Permission
from whatalker.db import new_id, now
from whatalker.services import contacting, fetching, framing, listing, reading
from whatalker.services.framing import Frame
from whatalker.services.listing import Filters
from whatalker.web import live
from whatalker.web.inbox import media, phrases

CHIPS = ("unread", "closing", "failed", "held")
LIST_ARGUMENTS = ("tab", "status", *CHIPS, "label", "number", "sort")


def filters_of(actor: Actor, arguments: MultiDict[str, str]) -> Filters:
    """The filters an address names; what is unknown or not this person's falls back to their first tab."""
    tabs = listing.tabs_of(actor)
    tab = arguments.get("tab", "")
    sort, status = arguments.get("sort", ""), arguments.get("status", "open")
    return Filters(
        tab=cast(Any, tab if tab in tabs else (tabs[0] if tabs else "mine")),
        status=status if status in listing.STATUSES else "open",
        sort=cast(Any, sort if sort in listing.SORTS else None),
        label_id=_id(arguments.get("label")), channel_account_id=_id(arguments.get("number")),
        **cast(Any, {chip: arguments.get(chip) == "1" for chip in CHIPS}),
    )  # fmt: skip


def arguments_of(filters: Filters, **changes: Any) -> dict[str, str]:
    """The same filters as the arguments of an address, with changes; what is at its default is left out."""
    values: dict[str, Any] = {
        "tab": filters.tab, "status": "" if filters.status == "open" else filters.status, "sort": filters.sort,
        "label": filters.label_id, "number": filters.channel_account_id,
        **{chip: "1" if getattr(filters, chip) else "" for chip in CHIPS},
    }  # fmt: skip
    return {name: str(value) for name, value in (values | changes).items() if value}


def _id(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def name_of(actor: Actor, conversation: m.Conversation) -> str:
    """What the contact is called here; without the right to read contacts, only the end of their number."""
    if access.can(actor, Permission.CONTACT_READ):
        return contacting.display_name(conversation.contact, conversation.identity)
    return contacting.masked(conversation.identity)


@dataclass(frozen=True, slots=True)
class Composer:
    """What the field under the thread allows: free, template or off, and why."""

    mode: str
    reason: str = ""
    helper: str = ""
    """Who can lift it."""
    hint: str = ""


def composer_of(actor: Actor, frame: Frame, conversation: m.Conversation) -> Composer:
    """The first thing that stands in the way, from the widest to the narrowest; the gate decides again at every send."""
    if not access.can(actor, Permission.MESSAGE_SEND):
        return Composer("off", _("Your role reads conversations and does not answer them."), _("An owner or admin can change your role."))
    if frame.standing != "active":
        return Composer("off", frame.standing_reason or _("Your organization may not send at the moment."), _("An owner or admin can see why."))
    number = frame.numbers.get(conversation.channel_account_id)
    if number is not None and not number.sends:
        return Composer("off", number.state_reason or _("This number cannot send at the moment."), _("An admin can reconnect it."))
    if conversation.contact.blocked_at:
        return Composer("off", _("This contact is blocked."), _("Unblock them in the menu above to write again."))
    window = phrases.window_of(conversation)
    if not window.is_open:
        return Composer("template", window.text)
    hint = _("Ask for a reply to keep the window open.") if window.state == "amber" else ""
    return Composer("free", hint=hint)


NOTHING_BESIDE = reading.Beside("", None, [], [])


@dataclass
class Panes:
    """Everything a page of the inbox is rendered from."""

    actor: Actor
    filters: Filters
    frame: Frame
    cursor: str
    page: listing.Page | None = None
    conversation: m.Conversation | None = None
    thread: reading.Thread | None = None
    beside: reading.Beside = NOTHING_BESIDE

    @property
    def composer(self) -> Composer:
        assert self.conversation is not None
        return composer_of(self.actor, self.frame, self.conversation)

    @cached_property
    def client_message_id(self) -> uuid.UUID:
        """Of the draft, or of the one that may begin now."""
        return self.beside.client_message_id or new_id()

    @property
    def labels(self) -> list[framing.Label]:
        return [label for id, label in self.frame.labels.items() if id in self.beside.label_ids]


def gather(actor: Actor, conversation: m.Conversation | None = None, *, lists: bool = True, counts: bool = False) -> Panes:
    """The panes for this request; without `lists` only the thread and what belongs to it, and perhaps the counts."""
    cursor = live.newest(actor.organization_id)  # before the rows, so that what happens in between is told again
    filters = filters_of(actor, request.args)
    panes = Panes(actor, filters, framing.frame(actor, listing.tab_counts(actor) if lists or counts else None), cursor)
    if lists and listing.tabs_of(actor):
        panes.page = listing.list_conversations(actor, filters, request.args.get("after"))
    if conversation is not None:
        panes.conversation = conversation
        panes.thread = reading.read_thread(actor, conversation)
        panes.beside = reading.beside(actor, conversation)
    return panes


def link(filters: Filters, conversation_id: uuid.UUID | None = None, **changes: Any) -> str:
    """The address of a list, or of a conversation beside that list."""
    arguments: dict[str, Any] = dict(arguments_of(filters, **changes))
    if conversation_id is None:
        return url_for("inbox.index", **arguments)
    return url_for("inbox.show", conversation_id=conversation_id, **arguments)


def render(template: str, panes: Panes, **values: Any) -> str:
    """A template of the inbox with the panes and the words it needs."""
    return render_template(
        f"inbox/{template}.html", panes=panes, frame=panes.frame, filters=panes.filters, actor=panes.actor,
        conversation=panes.conversation, words=phrases, link=link, name_of=lambda one: name_of(panes.actor, one),
        masked=contacting.masked, can=lambda permission: permission in panes.actor.permissions,
        tabs=listing.tabs_of(panes.actor), tab_names=tab_names(), arguments=arguments_of, ms=milliseconds,
        now_ms=lambda: milliseconds(now()), enter_sends=lambda: security.signed_in_user().enter_sends,
        number_health=number_health, their_time=their_time, script_words=script_words, shown_types=fetching.INLINE,
        file_limits=media.limits(), accepted_types=media.ACCEPTED, **values,
    )  # fmt: skip


def tab_names() -> dict[str, str]:
    return {"mine": _("Mine"), "unassigned": _("Unassigned"), "team": _("Team"), "all": _("All")}


def milliseconds(at: datetime | None) -> int:
    """As a browser counts them, so that a countdown runs by the server's clock."""
    return int(at.timestamp() * 1000) if at else 0


def number_health(number: framing.Number) -> str:
    """The provider's rating and limit in words."""
    if not number.sends:
        return number.state_reason or _("cannot send")
    rating = {"GREEN": _("good quality"), "YELLOW": _("quality is falling"), "RED": _("low quality")}.get(number.quality)
    tier = number.messaging_limit.removeprefix("TIER_")
    limit = _("no daily limit") if tier == "UNLIMITED" else _("%(tier)s people a day", tier=tier) if tier else ""
    return " · ".join(part for part in (rating or _("not rated yet"), limit) if part)


def their_time(zone: str) -> str:
    """The contact's clock now."""
    try:
        return now().astimezone(ZoneInfo(zone)).strftime("%H:%M")
    except (ZoneInfoNotFoundError, ValueError):
        return ""


def script_words() -> dict[str, str]:
    """What the script says, in the reader's language."""
    return {
        "offline": _("No connection. What you write is kept; nothing shows as sent until it is."), "back": _("Connected again."),
        "below_one": _("1 new message ↓"), "below": _("%(number)s new messages ↓", number="{n}"),
        "left": _("%(time)s left", time="{t}"), "h": _("%(hours)s h", hours="{h}"),
        "hm": _("%(hours)s h %(minutes)s min", hours="{h}", minutes="{m}"), "m": _("%(minutes)s min", minutes="{m}"),
        "s": _("%(seconds)s s", seconds="{s}"), "closed": _("Window closed — template only"), "closed_short": _("Template only"),
        "closes_in": _("The window closes in %(time)s.", time="{t}"), "now_closed": _("The window is closed. Choose a template."),
        "sending": _("Sending…"), "failed": _("Not sent: the server did not answer. Your text is kept; try again."),
        "new_in": _("New message from %(name)s", name="{n}"), "signed_out": _("You are signed out. Sign in again to go on."),
    }  # fmt: skip
