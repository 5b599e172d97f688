"""The list of conversations: tabs, chips, pages, search and the next one; its one rule: an address names what it shows."""

from __future__ import annotations

from uuid import UUID

from flask import flash, jsonify, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from whatalker import security
from whatalker.access import Permission
from whatalker.db import transaction
from whatalker.services import conversing, listing, searching
from whatalker.web.inbox import panes, phrases
from whatalker.web.inbox.blueprint import blueprint

LONGEST_SEARCH = 100


@blueprint.get("/inbox")
@security.guard(Permission.INBOX_OPEN)
def index() -> str | Response:
    """The list with no conversation open; who has nothing of their own is led to what waits for somebody."""
    if security.wants_fragment():
        return panes.render("thread_pane", panes.gather(security.actor(), lists=False))
    gathered = panes.gather(security.actor())
    if not request.args and gathered.frame.counts.get("mine") == 0 and "unassigned" in gathered.frame.counts:
        return redirect(panes.link(gathered.filters, tab="unassigned"), 303)
    return panes.render("page", gathered)


@blueprint.get("/inbox/rows")
@security.guard(Permission.INBOX_OPEN)
def rows() -> str:
    """A page of rows to put into the list: the first one again, or the one after a key."""
    return panes.render("rows", panes.gather(security.actor()))


@blueprint.get("/inbox/rows/<uuid:conversation_id>")
@security.guard(Permission.INBOX_OPEN)
def row(conversation_id: UUID) -> str:
    """One row as this list shows it, and the counts; without the row when it is not in this list (any more)."""
    actor = security.actor()
    gathered = panes.gather(actor, counts=True, lists=False)
    return panes.render("one_row", gathered, row=listing.list_row(actor, conversation_id, gathered.filters))


@blueprint.get("/inbox/search")
@security.guard(Permission.INBOX_OPEN)
def search() -> str:
    """Contacts by name or last digits, and the newest messages by text; only what this person may see."""
    text = request.args.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
    gathered = panes.gather(security.actor(), lists=False, counts=True)
    found = searching.search_conversations(security.actor(), text) if len(text) >= searching.SHORTEST else None
    return panes.render("search" if security.wants_fragment() else "page", gathered, found=found, search_text=text)


@blueprint.post("/inbox/next")
@security.guard(Permission.INBOX_OPEN, Permission.CONVERSATION_UPDATE)
def take_next() -> Response:
    """The one that waits longest becomes mine and opens."""
    with transaction():
        taken = conversing.take_next(security.actor())
    if taken is None:
        flash(_("Nobody is waiting: the queue is empty."), "info")
        return redirect(url_for("inbox.index"), 303)
    return redirect(url_for("inbox.show", conversation_id=taken, tab="mine"), 303)


@blueprint.get("/inbox/counts")
@security.guard(Permission.INBOX_OPEN)
def counts() -> Response:
    """The badges alone, as numbers and as they are written."""
    actor = security.actor()
    found = listing.count_tabs(actor)
    return jsonify({name: {"count": count, "badge": phrases.badge(count)} for name, count in found.items()})
