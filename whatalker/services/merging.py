"""Two contacts that are one person, made one; its one rule: nothing said, noted or forbidden about either of them is lost."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import delete, select, text, update

from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import now, session
from whatalker.events import Event, publish
from whatalker.services import auditing, consenting, summarizing

C = m.Conversation


def merge_rows(actor: Actor, keep_id: uuid.UUID, drop_id: uuid.UUID, reason: str) -> m.Contact:
    """Move everything of `drop` to `keep`; the dropped row stays as a signpost. The caller has checked that the actor may."""
    rows = session.scalars(
        select(m.Contact).where(m.Contact.organization_id == actor.organization_id, m.Contact.id.in_((keep_id, drop_id)))
        .order_by(m.Contact.id).with_for_update().execution_options(populate_existing=True)
    )  # fmt: skip
    both = {contact.id: contact for contact in rows}
    keep, drop = both[keep_id], both[drop_id]
    threads = _fold_threads(actor, keep, drop)
    _move(m.ContactIdentity, keep, drop)
    consenting.mark_threads(actor, threads)
    session.execute(
        update(m.Contact).where(m.Contact.organization_id == keep.organization_id, m.Contact.merged_into_id == drop.id)
        .values(merged_into_id=keep.id).execution_options(synchronize_session=False)
    )  # fmt: skip
    _fill(keep, drop)
    drop.merged_into_id = keep.id
    session.flush()
    auditing.record(actor, "contact.merged", keep, reason=reason, diff={"merged": [str(drop.id), str(keep.id)]})
    auditing.record(actor, "contact.merged", drop, reason=reason, diff={"merged_into_id": [None, str(keep.id)]})
    publish(Event.CONTACT_CHANGED, keep.organization_id, contact_id=keep.id)
    return keep


def fold_identity(actor: Actor, keep_id: uuid.UUID, drop_id: uuid.UUID) -> None:
    """Two identities that turned out to be one account of one contact, whose threads are folded already."""
    i = m.ContactIdentity
    here = C.organization_id == actor.organization_id
    session.execute(
        update(C).where(here, C.identity_id == drop_id).values(identity_id=keep_id)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    session.execute(
        delete(i).where(i.organization_id == actor.organization_id, i.id == drop_id)
        .execution_options(synchronize_session=False)
    )  # fmt: skip


def _fill(keep: m.Contact, drop: m.Contact) -> None:
    """What only one of them has; blocked, if either was."""
    for column in ("language", "country", "time_zone", "email", "owner_id"):
        setattr(keep, column, getattr(keep, column) or getattr(drop, column))
    if not keep.name or (drop.renamed and not keep.renamed):
        keep.name, keep.name_folded, keep.name_at = drop.name, drop.name_folded, drop.name_at
        keep.renamed = drop.renamed
    keep.fields = {**drop.fields, **keep.fields}
    keep.blocked_at = min(filter(None, (keep.blocked_at, drop.blocked_at)), default=None)
    keep.updated_at = now()


def _move(table: Any, keep: m.Contact, drop: m.Contact) -> None:
    session.execute(
        update(table).where(table.organization_id == keep.organization_id, table.contact_id == drop.id)
        .values(contact_id=keep.id).execution_options(synchronize_session=False)
    )  # fmt: skip


def _fold_threads(actor: Actor, keep: m.Contact, drop: m.Contact) -> set[uuid.UUID]:
    """One thread for each number: where both have one, the dropped one's content moves over; else the thread just moves.

    Answers all threads of `keep` from now on.
    """
    organization_id = keep.organization_id
    threads = list(
        session.scalars(
            select(C).where(C.organization_id == organization_id, C.contact_id.in_((keep.id, drop.id)))
            .order_by(C.id).with_for_update().execution_options(populate_existing=True)
        )
    )  # fmt: skip
    stays = {thread.channel_account_id: thread for thread in threads if thread.contact_id == keep.id}
    moved = [thread for thread in threads if thread.contact_id == drop.id]
    for thread in moved:
        target = stays.get(thread.channel_account_id)
        _move_messages(thread, target or thread, keep)
        if target is not None:
            _fold_thread(actor, target, thread)
    _move(C, keep, drop)
    changed = {(stays.get(thread.channel_account_id) or thread).id for thread in moved}
    for id in changed:
        publish(Event.CONVERSATION_CHANGED, organization_id, conversation_id=id)
    return changed | {thread.id for thread in stays.values()}


def _move_messages(source: m.Conversation, target: m.Conversation, keep: m.Contact) -> None:
    session.execute(
        update(m.Message).where(m.Message.organization_id == keep.organization_id,
                                m.Message.conversation_id == source.id)
        .values(conversation_id=target.id, contact_id=keep.id).execution_options(synchronize_session=False)
    )  # fmt: skip


def _fold_thread(actor: Actor, target: m.Conversation, source: m.Conversation) -> None:
    auditing.record(actor, "conversation.folded", source, diff={"folded_into": [str(source.id), str(target.id)]})
    here = {"organization": source.organization_id, "source": source.id, "target": target.id}
    for statement in _FOLD:
        session.execute(text(statement), here)
    _fold_columns(target, source)
    wrote_last = max(
        (target, source), key=lambda thread: (thread.identity_at or thread.created_at, str(thread.identity_id))
    )
    identity_id, identity_at = wrote_last.identity_id, wrote_last.identity_at
    session.flush()
    # Two threads of one number never name the same identity, not even for a moment: the old one goes first.
    session.execute(delete(C).where(C.organization_id == source.organization_id, C.id == source.id))
    target.identity_id, target.identity_at = identity_id, identity_at
    session.flush()
    summarizing.summarize(source.organization_id, [target.id])


_FOLD = (
    "update note set conversation_id = :target where organization_id = :organization and conversation_id = :source",
    """update conversation_label l set conversation_id = :target
       where organization_id = :organization and conversation_id = :source and not exists (select from conversation_label o
         where o.organization_id = l.organization_id and o.conversation_id = :target and o.label_id = l.label_id)""",
    """update draft d set text = d.text || E'\\n' || s.text from draft s
       where d.organization_id = :organization and d.conversation_id = :target and s.organization_id = d.organization_id
         and s.conversation_id = :source and s.user_id = d.user_id and s.text <> ''""",
    """update draft d set conversation_id = :target
       where organization_id = :organization and conversation_id = :source and not exists (select from draft o
         where o.organization_id = d.organization_id and o.conversation_id = :target and o.user_id = d.user_id)""",
)


def _fold_columns(target: m.Conversation, source: m.Conversation) -> None:
    """As if everything had been said in one thread from the start."""

    def least(name: str) -> Any:
        return min(filter(None, (getattr(target, name), getattr(source, name))), default=None)

    def greatest(name: str) -> Any:
        return max(filter(None, (getattr(target, name), getattr(source, name))), default=None)

    target.unread_count += source.unread_count
    target.assignee_id, target.assigned_at = (
        (target.assignee_id, target.assigned_at) if target.assignee_id else (source.assignee_id, source.assigned_at)
    )
    if source.status == "open" or (source.status == "snoozed" and target.status == "resolved"):
        target.status, target.snoozed_until = source.status, source.snoozed_until
    for name in ("last_inbound_at", "window_expires_at"):
        setattr(target, name, greatest(name))
    for name in ("waiting_since", "marketing_stopped_at", "created_at"):
        setattr(target, name, least(name))


