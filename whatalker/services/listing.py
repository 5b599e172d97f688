"""Which conversations a person has before them, in pages that stay flat; its one rule: every query starts at access.visible."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from flask_babel import gettext
from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select, tuple_
from sqlalchemy.orm import joinedload

from whatalker import models as m
from whatalker.access import Actor, Permission, visible
from whatalker.db import now, session
from whatalker.errors import Invalid

PAGE = 50
"""Rows of one page."""

CLOSING_SOON = timedelta(hours=1)
"""A window with no more than this left is in "Closing soon"."""

BADGE = 100
"""Badges count no further: one that says "99+" costs the same on any table."""

Tab = Literal["mine", "unassigned", "team", "all"]
Sort = Literal["waiting", "newest", "closing"]
TABS: tuple[Tab, ...] = ("mine", "unassigned", "team", "all")
SORTS: tuple[Sort, ...] = ("waiting", "newest", "closing")
STATUSES = ("open", "snoozed", "resolved")

C = m.Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a person asked to see; the tab and the chips all have to hold."""

    tab: Tab = "mine"
    status: str = "open"
    unread: bool = False
    closing: bool = False
    failed: bool = False
    held: bool = False
    label_id: uuid.UUID | None = None
    channel_account_id: uuid.UUID | None = None
    sort: Sort | None = None
    """None: the tab's own, waiting longest for what nobody has taken, newest for the others."""
    contact_ids: tuple[uuid.UUID, ...] | None = None
    """Only conversations of these contacts."""

    @property
    def order(self) -> Sort:
        return self.sort or ("waiting" if self.tab == "unassigned" else "newest")

    @property
    def narrowed(self) -> bool:
        """Whether something besides the tab leaves rows out, so that "clear filters" would bring some back."""
        chips = self.unread or self.closing or self.failed or self.held or self.status != "open"
        return bool(chips or self.label_id or self.channel_account_id)


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation with its contact and identity loaded, and what its icons say."""

    conversation: m.Conversation
    has_note: bool
    held: bool


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Row]
    next: str | None
    """The key of the page after this one; None: this was the last."""


def tabs_of(actor: Actor) -> tuple[Tab, ...]:
    """The tabs this person has: nothing is offered that would always be empty for their role."""
    may = actor.permissions
    reads_team = bool(may & {Permission.CONVERSATION_READ_TEAM, Permission.CONVERSATION_READ_ALL})
    if not reads_team and Permission.CONVERSATION_READ_OWN not in may:
        return ()
    wanted: dict[Tab, bool] = {
        "mine": Permission.CONVERSATION_UPDATE in may,
        "unassigned": True,
        "team": reads_team and bool(actor.team_ids),
        "all": reads_team,
    }
    return tuple(tab for tab in TABS if wanted[tab])


def list_conversations(actor: Actor, filters: Filters, after: str | None = None) -> Page:
    """One page, at most PAGE rows. `after` is the `next` of the page before; a key that is none of ours is Invalid."""
    phase, key, moment = _read_key(after) if after else (0, None, now())
    phases = _phases(filters.order, moment)
    base = _select_rows(actor).where(*_conditions(actor, filters, moment))
    found: list[Any] = []
    while phase < len(phases) and len(found) <= PAGE:
        part = phases[phase]
        query = base.where(part.where) if part.where is not None else base
        if key is not None:
            compare = tuple_(part.column, C.id) < key if part.newest_first else tuple_(part.column, C.id) > key
            query = query.where(compare)
        order = (part.column.desc(), C.id.desc()) if part.newest_first else (part.column.asc(), C.id.asc())
        found += [(phase, *row) for row in session.execute(query.order_by(*order).limit(PAGE + 1 - len(found)))]
        phase, key = phase + 1, None
    rows = [Row(conversation, bool(has_note), bool(held)) for _, conversation, has_note, held in found[:PAGE]]
    following = None
    if len(found) > PAGE:
        last_phase, last = found[PAGE - 1][0], found[PAGE - 1][1]
        following = _write_key(last_phase, getattr(last, phases[last_phase].column.key), last.id, moment)
    return Page(rows, following)


def list_row(actor: Actor, conversation_id: uuid.UUID, filters: Filters) -> Row | None:
    """The one row, if it belongs to this list and is this person's to see; a page that hears of a change asks this."""
    query = _select_rows(actor).where(C.id == conversation_id, *_conditions(actor, filters, now()))
    found = session.execute(query).first()
    return Row(found[0], bool(found[1]), bool(found[2])) if found else None


def tab_counts(actor: Actor) -> dict[str, Any]:
    """Subqueries for services/framing.py: what each tab holds open, and what of one's own is unread or closing, up to BADGE."""
    tabs = tabs_of(actor)
    counts: dict[str, Any] = {tab: _counted(actor, Filters(tab=tab)) for tab in tabs}
    if "mine" in tabs:
        counts["unread"] = _counted(actor, Filters(tab="mine", unread=True))
        counts["closing"] = _counted(actor, Filters(tab="mine", closing=True))
    return counts


def count_tabs(actor: Actor) -> dict[str, int]:
    """The same counts alone, by one statement."""
    counts = tab_counts(actor)
    if not counts:
        return {}
    return dict(session.execute(select(*[query.label(name) for name, query in counts.items()])).one()._mapping)


def contacts_matching(actor: Actor, contact_ids: list[uuid.UUID]) -> list[m.Conversation]:
    """Conversations this person may see with any of these contacts, newest first, at most a page."""
    query = (
        visible(actor, C).where(C.contact_id.in_(contact_ids))
        .options(joinedload(C.contact), joinedload(C.identity)).order_by(C.last_message_at.desc(), C.id.desc())
    )  # fmt: skip
    return list(session.scalars(query.limit(PAGE)))


# ---------------------------------------------------------------- what a filter means


def _select_rows(actor: Actor) -> Select[Any]:
    note, held = m.Note, m.Message
    has_note = exists().where(note.organization_id == C.organization_id, note.conversation_id == C.id)
    is_held = exists().where(
        held.organization_id == C.organization_id, held.conversation_id == C.id, held.status == "queued",
        held.hold_reason != "",
    )  # fmt: skip
    loaded = visible(actor, C).options(joinedload(C.contact, innerjoin=True), joinedload(C.identity, innerjoin=True))
    return cast(Select[Any], loaded.add_columns(has_note, is_held))


def _conditions(actor: Actor, filters: Filters, moment: datetime) -> list[ColumnElement[bool]]:
    if filters.status not in STATUSES or filters.tab not in TABS:
        raise Invalid(gettext("There is no such list."), "unknown_filter")
    held = exists().where(
        m.Message.organization_id == C.organization_id, m.Message.conversation_id == C.id,
        m.Message.status == "queued", m.Message.hold_reason != "",
    )  # fmt: skip
    label = exists().where(
        m.ConversationLabel.organization_id == C.organization_id, m.ConversationLabel.conversation_id == C.id,
        m.ConversationLabel.label_id == filters.label_id,
    )  # fmt: skip
    chips: list[tuple[Any, ColumnElement[bool]]] = [
        (filters.unread, C.unread_count > 0),
        (filters.closing, and_(C.window_expires_at > moment, C.window_expires_at <= moment + CLOSING_SOON)),
        (filters.failed, C.failed_at.is_not(None)),
        (filters.held, held),
        (filters.label_id, label),
        (filters.channel_account_id, C.channel_account_id == filters.channel_account_id),
        (filters.contact_ids is not None, C.contact_id.in_(filters.contact_ids or ())),
    ]
    return [C.status == filters.status, _tab(actor, filters.tab), *[test for on, test in chips if on]]


def _tab(actor: Actor, tab: Tab) -> ColumnElement[bool]:
    tests: dict[Tab, Callable[[], ColumnElement[bool]]] = {
        "mine": lambda: C.assignee_id == actor.user_id if actor.user_id else false(),
        "unassigned": lambda: C.assignee_id.is_(None),
        "team": lambda: C.team_id.in_(sorted(actor.team_ids)),
        "all": lambda: C.id.is_not(None),
    }
    return tests[tab]()


def _counted(actor: Actor, filters: Filters) -> Any:
    inner = visible(actor, C).where(*_conditions(actor, filters, now())).with_only_columns(C.id).limit(BADGE)
    return select(func.count()).select_from(inner.subquery()).scalar_subquery()


# ---------------------------------------------------------------- paging


@dataclass(frozen=True, slots=True)
class _Phase:
    """A stretch of the list that one index walks: those the sort is about first, then all the others, newest first."""

    where: ColumnElement[bool] | None
    column: Any
    newest_first: bool


def _phases(order: Sort, moment: datetime) -> list[_Phase]:
    if order == "waiting":
        return [
            _Phase(C.waiting_since.is_not(None), C.waiting_since, False),
            _Phase(C.waiting_since.is_(None), C.last_message_at, True),
        ]
    if order == "closing":
        closed = or_(C.window_expires_at.is_(None), C.window_expires_at <= moment)
        return [_Phase(C.window_expires_at > moment, C.window_expires_at, False), _Phase(closed, C.last_message_at, True)]
    return [_Phase(None, C.last_message_at, True)]


def _write_key(phase: int, at: datetime, id: uuid.UUID, moment: datetime) -> str:
    text = json.dumps([phase, at.isoformat(), str(id), moment.isoformat()])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_key(text: str) -> tuple[int, Any, datetime]:
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        phase, at, id, moment = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        key = (datetime.fromisoformat(at), uuid.UUID(id))
        asked = datetime.fromisoformat(moment)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise Invalid(gettext("That page is not there any more; open the list again."), "unknown_page") from None
    if phase not in (0, 1) or key[0].tzinfo is None or asked.tzinfo is None:
        raise Invalid(gettext("That page is not there any more; open the list again."), "unknown_page")
    return phase, key, min(asked, now())

