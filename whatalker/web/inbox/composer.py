"""Writing: replies, notes, drafts, canned replies and the check before sending; its one rule: what was typed is never lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import flash, make_response, redirect, request
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission
from whatalker.db import transaction
from whatalker.errors import Conflict, Invalid, NotAllowed, WhatalkerError
from whatalker.policies import Decision
from whatalker.services import composing, conversing, noting, reading
from whatalker.web.inbox import media, panes, phrases
from whatalker.web.inbox.blueprint import blueprint

LONGEST_TEXT = 4_096
"""Characters WhatsApp takes in a text message."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the form under the thread brought."""

    mode: str
    text: str
    client_message_id: UUID
    seen_message_id: UUID | None
    anyway: bool
    reply_to: UUID | None


@dataclass(frozen=True, slots=True)
class Check:
    """One line under the field."""

    tone: str
    """warn or bad."""
    text: str
    action: str = ""
    """template: offer the panel."""


@dataclass(slots=True)
class Stop:
    """Why nothing was sent; the form comes back with everything that was typed."""

    lines: list[Check] = field(default_factory=list)
    newer: int = 0


@blueprint.post("/inbox/<uuid:conversation_id>/reply")
@security.guard(Permission.INBOX_OPEN)
def reply(conversation_id: UUID) -> Response:
    """Send what was written, or keep it as a note; a stop shows why, with the text where it was."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    written = _written()
    stop = Stop()
    sent: m.Message | None = None
    if written.mode == "note":
        stop = _keep_note(actor, conversation, written)
    else:
        sent, stop = _send(actor, conversation, written)
    if security.wants_fragment():
        return _fragment(actor, conversation, written, stop, sent)
    if stop.lines or stop.newer:
        gathered = panes.gather(actor, conversation)
        return make_response(panes.render("page", gathered, stop=stop, written=written), 422)
    return redirect(panes.link(panes.filters_of(actor, request.args), conversation_id) + "#end", 303)


def _written() -> Written:
    form = request.form
    return Written(
        mode="note" if form.get("mode") == "note" else "reply", text=form.get("text", "").replace("\r\n", "\n"),
        client_message_id=_id(form.get("client_message_id")) or _missing_id(), seen_message_id=_id(form.get("seen_message_id")),
        anyway=form.get("anyway") == "1", reply_to=_id(form.get("reply_to")),
    )  # fmt: skip


def _missing_id() -> UUID:
    raise Invalid(_("This form has expired. Reload the page and send it again."), "form_expired")


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _keep_note(actor: Actor, conversation: m.Conversation, written: Written) -> Stop:
    try:
        with transaction():
            noting.add_note(actor, conversation, written.text)
    except (Invalid, NotAllowed) as refusal:
        return Stop([Check("bad", refusal.message)])
    return Stop()


def _send(actor: Actor, conversation: m.Conversation, written: Written) -> tuple[m.Message | None, Stop]:
    upload = request.files.get("file")
    has_file = upload is not None and bool(upload.filename)
    if (stop := _stop_before(actor, conversation, written, has_file)) is not None:
        _keep(actor, conversation, written)
        return None, stop
    try:
        with transaction():
            if has_file and upload is not None:
                kind, content = media.take(actor, upload, written.text)
            else:
                kind, content = "text", {"text": written.text.strip()}
            message = composing.queue_message(
                actor, conversation, kind, content, client_message_id=written.client_message_id,
                reply_to=_quoted(actor, conversation, written.reply_to),
            )  # fmt: skip
            media.show(actor, message)
            if message.kind == "text" and message.text.strip() != written.text.strip():
                # Another tab has sent the same draft with other words: these are a message of their own.
                return None, _sent_elsewhere(actor, conversation, written)
            noting.drop_draft(actor, conversation)
            conversing.mark_seen(actor, conversation)
    except (Invalid, Conflict, NotAllowed) as refusal:
        _keep(actor, conversation, written)
        return None, Stop([_refused(refusal)])
    return message, Stop()


def _sent_elsewhere(actor: Actor, conversation: m.Conversation, written: Written) -> Stop:
    noting.drop_draft(actor, conversation)
    noting.save_draft(actor, conversation, written.text)
    return Stop([Check("warn", _("This draft was already sent from another tab. Send again if this should follow it."))])


def _stop_before(actor: Actor, conversation: m.Conversation, written: Written, has_file: bool) -> Stop | None:
    """What is clear before anything is stored."""
    if not written.text.strip() and not has_file:
        return Stop([Check("bad", _("The message is empty."))])
    if lines := _lines_about(written.text):
        return Stop(lines)
    # A page without the newest messages answers something the agent has not read: said once, then they decide.
    newer = reading.newer_inbound(actor, conversation, written.seen_message_id) if not written.anyway else 0
    return Stop(newer=newer) if newer and written.seen_message_id else None


def _lines_about(text: str) -> list[Check]:
    lines = []
    if open_names := noting.unresolved(text):
        names = ", ".join("{{" + name + "}}" for name in open_names)
        lines.append(Check("bad", _("Fill in %(names)s first; the contact would read it as it stands.", names=names)))
    if len(text) > LONGEST_TEXT:
        over = len(text) - LONGEST_TEXT
        lines.append(Check("bad", ngettext("%(num)d character too long.", "%(num)d characters too long.", over)))
    return lines


def _refused(refusal: WhatalkerError) -> Check:
    return Check("bad", refusal.message, "template" if refusal.code.startswith("window") else "")


def _keep(actor: Actor, conversation: m.Conversation, written: Written) -> None:
    """What was typed stays as this person's draft, whatever stood in the way."""
    if written.text.strip():
        with transaction():
            noting.save_draft(actor, conversation, written.text, written.client_message_id)


def _quoted(actor: Actor, conversation: m.Conversation, message_id: UUID | None) -> str | None:
    if message_id is None:
        return None
    entry = reading.read_entry(actor, conversation, message_id)
    return entry.message.provider_id if entry.message else None


def _fragment(
    actor: Actor, conversation: m.Conversation, written: Written, stop: Stop, sent: m.Message | None
) -> Response:
    """The form again, fresh or with what stopped it, and the new bubble for the end of the log."""
    stopped = bool(stop.lines or stop.newer)
    gathered = panes.gather(actor, conversation, lists=False)
    entries = gathered.thread.entries[-5:] if gathered.thread and not stopped else []
    html = panes.render(
        "after_sending", gathered, stop=stop if stopped else None, written=written if stopped else None,
        mode=written.mode, new_entries=[entry for entry in entries if _is_mine(entry, sent, written, actor)],
    )  # fmt: skip
    return make_response(html, 200)


def _is_mine(entry: reading.Entry, sent: m.Message | None, written: Written, actor: Actor) -> bool:
    if sent is not None:
        return entry.id == sent.id
    return written.mode == "note" and entry.type == "note" and entry.author_id == actor.user_id


@blueprint.post("/inbox/<uuid:conversation_id>/draft")
@security.guard(Permission.INBOX_OPEN)
def draft(conversation_id: UUID) -> str:
    """Keep the draft and say what the gate would answer now: asked when the typing pauses."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    written = _written()
    with transaction():
        if written.text.strip():
            noting.save_draft(actor, conversation, written.text, written.client_message_id)
        else:
            noting.drop_draft(actor, conversation)
    lines = _lines_about(written.text)
    may_send = Permission.MESSAGE_SEND in actor.permissions
    if written.text.strip() and may_send and not lines:
        with transaction():
            lines = check_lines(composing.preview(actor, conversation, "text", {"text": written.text.strip()}))
    return panes.render("checks", panes.gather(actor, lists=False), lines=lines)


def check_lines(decision: Decision) -> list[Check]:
    """A decision as lines under the field: nothing to say when the answer is yes."""
    if decision.verdict == "allow":
        return []
    said = phrases.verdict_text(decision.code, decision.sentence)
    if decision.verdict == "defer" and decision.not_before:
        said = _("%(reason)s It would go out %(time)s.", reason=said, time=phrases.moment(decision.not_before))
    tone = "warn" if decision.verdict == "defer" else "bad"
    return [Check(tone, said, "template" if decision.code.startswith("window") else "")]


@blueprint.get("/inbox/<uuid:conversation_id>/canned")
@security.guard(Permission.INBOX_OPEN)
def canned(conversation_id: UUID) -> str:
    """Canned replies for what was typed after the slash, as they would be sent here."""
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    gathered = panes.gather(actor, lists=False)
    gathered.conversation = conversation
    found = noting.find_canned(actor, conversation, request.args.get("q", ""))
    return panes.render("canned" if security.wants_fragment() else "canned_page", gathered, found=found)


@blueprint.post("/inbox/<uuid:conversation_id>/messages/<uuid:message_id>/retry")
@security.guard(Permission.INBOX_OPEN, Permission.MESSAGE_SEND)
def retry(conversation_id: UUID, message_id: UUID) -> Response:
    """Send a failed message again, as a new try that goes through the gate like any other."""
    return _with_message(conversation_id, message_id, composing.retry_message)


@blueprint.post("/inbox/<uuid:conversation_id>/messages/<uuid:message_id>/cancel")
@security.guard(Permission.INBOX_OPEN, Permission.MESSAGE_SEND)
def cancel(conversation_id: UUID, message_id: UUID) -> Response:
    """Take back what still waits."""
    return _with_message(conversation_id, message_id, composing.cancel_message)


def _with_message(conversation_id: UUID, message_id: UUID, act: Any) -> Response:
    actor = security.actor()
    conversation = conversing.open_conversation(actor, conversation_id)
    entry = reading.read_entry(actor, conversation, message_id)
    try:
        with transaction():
            act(actor, entry.message)
    except (Conflict, Invalid, NotAllowed) as refusal:
        flash(refusal.message, "error")
    return redirect(panes.link(panes.filters_of(actor, request.args), conversation_id), 303)


@blueprint.post("/inbox/keys")
@security.guard(Permission.INBOX_OPEN)
def keys() -> Response:
    """Whether Enter sends or makes a new line: this person's own wish."""
    user = security.signed_in_user()
    with transaction():
        user.enter_sends = request.form.get("enter_sends") == "1"
    return redirect(security.local_or(request.form.get("next"), "/inbox"), 303)
