"""A conversation being read: the thread, one bubble, its timeline and its decision; its one rule: the conversation is asked for first."""

from __future__ import annotations

from uuid import UUID

from flask import request

from whatalker import security
from whatalker.access import Permission
from whatalker.db import transaction
from whatalker.services import conversing, reading
from whatalker.web.inbox import panes, phrases
from whatalker.web.inbox.blueprint import blueprint


@blueprint.get("/inbox/<uuid:conversation_id>")
@security.guard(Permission.INBOX_OPEN)
def show(conversation_id: UUID) -> str:
    """The three panes, or for htmx the thread and its context; reading marks what is unread as seen."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    if conversation.unread_count and not _only_prefetching():
        with transaction():
            conversing.mark_seen(actor, conversation)
    fragment = security.wants_fragment()
    gathered = panes.gather(actor, conversation, lists=not fragment)
    return panes.render("thread_pane" if fragment else "page", gathered)


def _only_prefetching() -> bool:
    """A browser that fetches ahead has shown nobody anything."""
    return "prefetch" in f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}"


@blueprint.get("/inbox/<uuid:conversation_id>/log")
@security.guard(Permission.INBOX_OPEN)
def log(conversation_id: UUID) -> str:
    """A page of the thread: the newest, or what came before a key."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversation
    gathered.thread = reading.read_thread(actor, conversation, request.args.get("before"))
    return panes.render("log" if security.wants_fragment() else "page", gathered)


@blueprint.get("/inbox/<uuid:conversation_id>/head")
@security.guard(Permission.INBOX_OPEN)
def head(conversation_id: UUID) -> str:
    """The header and the context pane as they are now."""
    actor = security.actor()
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversing.open_conversation(actor, conversation_id)
    gathered.beside = reading.beside(actor, gathered.conversation)
    return panes.render("head_and_context", gathered)


@blueprint.get("/inbox/<uuid:conversation_id>/messages/<uuid:message_id>")
@security.guard(Permission.INBOX_OPEN)
def message(conversation_id: UUID, message_id: UUID) -> str:
    """One bubble as it is now: what a page fetches when it hears of a tick."""
    gathered, entry = _entry(conversation_id, message_id)
    return panes.render("one_entry", gathered, entry=entry)


@blueprint.get("/inbox/<uuid:conversation_id>/messages/<uuid:message_id>/timeline")
@security.guard(Permission.INBOX_OPEN)
def timeline(conversation_id: UUID, message_id: UUID) -> str:
    """Everything that happened to a message."""
    gathered, entry = _entry(conversation_id, message_id)
    assert entry.message is not None
    events = reading.timeline(security.actor(), entry.message)
    template = "timeline" if security.wants_fragment() else "timeline_page"
    return panes.render(template, gathered, entry=entry, events=events, event_names=phrases.event_names())


@blueprint.get("/inbox/<uuid:conversation_id>/messages/<uuid:message_id>/why")
@security.guard(Permission.INBOX_OPEN)
def why(conversation_id: UUID, message_id: UUID) -> str:
    """Why a message went, waits or did not go: every rule's answer in words."""
    gathered, entry = _entry(conversation_id, message_id)
    assert entry.message is not None
    decisions = reading.decisions_of(security.actor(), entry.message)
    explained = reading.explained(decisions[0]) if decisions else None
    return panes.render("why", gathered, entry=entry, decisions=decisions, explained=explained,
                        rule_names=phrases.rule_names())  # fmt: skip


@blueprint.get("/inbox/<uuid:conversation_id>/who")
@security.guard(Permission.INBOX_OPEN)
def who(conversation_id: UUID) -> str:
    """Which colleagues see this conversation, by the very function that shows it to them."""
    actor = security.actor()
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversing.open_conversation(actor, conversation_id)
    return panes.render("who", gathered, seers=reading.who_can_see(actor, gathered.conversation))


def _entry(conversation_id: UUID, message_id: UUID) -> tuple[panes.Panes, reading.Entry]:
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    entry = reading.read_entry(actor, conversation, message_id)
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversation
    return gathered, entry
