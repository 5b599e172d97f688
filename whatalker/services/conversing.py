"""What people do with a conversation: take, hand on, resolve, snooze, label; its one rule: every change is compared, audited and told."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload

from whatalker import access
from whatalker import models as m
from whatalker.access import Actor, Permission, require, visible
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict, Invalid, NotFound
from whatalker.events import Event, publish
from whatalker.queues import DEFAULT, Job, enqueue
from whatalker.services import auditing

LONGEST_SNOOZE = timedelta(days=366)

C = m.Conversation


def open_conversation(actor: Actor, id: uuid.UUID | str) -> m.Conversation:
    """The conversation with its contact and identity, or NotFound; reading it changes nothing."""
    return access.get(actor, C, id, joinedload(C.contact, innerjoin=True), joinedload(C.identity, innerjoin=True))


# ---------------------------------------------------------------- whose it is


def assign(
    actor: Actor, conversation: m.Conversation, user_id: uuid.UUID | None, *, expected: uuid.UUID | None
) -> None:
    """Give it to this person, or to nobody; `expected` is whose it was on the page the actor saw.

    Raises Conflict when somebody was faster, naming them; the same wish twice changes nothing the second time.
    """
    require(actor, Permission.CONVERSATION_ASSIGN)
    name = _assignable(actor, conversation, user_id) if user_id else ""
    before = _name_of(expected)
    moment = now()
    changed = _compare_and_set(
        conversation, C.assignee_id.is_not_distinct_from(expected),
        assignee_id=user_id, assigned_at=moment if user_id else None,
    )  # fmt: skip
    if changed is None:
        _refuse_or_accept(conversation, user_id, moment)
        return
    action = "conversation.assigned" if user_id else "conversation.unassigned"
    diff = {"assignee_id": [_text(expected), _text(user_id)], "assignee": [before, name]}
    _tell(actor, action, conversation, diff, previous_assignee_id=expected)


def set_team(actor: Actor, conversation: m.Conversation, team_id: uuid.UUID | None) -> None:
    """Move it to another team's inbox, or to everyone's; whoever has it keeps it."""
    require(actor, Permission.CONVERSATION_ASSIGN)
    names = {team.id: team.name for team in session.scalars(visible(actor, m.Team))}
    if team_id is not None and team_id not in names:
        raise NotFound(_("There is no such team."), "unknown_team")
    before = conversation.team_id
    if before == team_id:
        return
    if _compare_and_set(conversation, C.team_id.is_not_distinct_from(before), team_id=team_id) is None:
        raise Conflict(_("Somebody has just moved this conversation; look again."), "moved_already")
    diff = {"team_id": [_text(before), _text(team_id)], "team": [names.get(before, ""), names.get(team_id, "")]}  # type: ignore[arg-type]
    _tell(actor, "conversation.moved", conversation, diff, previous_team_id=before)


def take_next(actor: Actor) -> uuid.UUID | None:
    """Take the open, unassigned conversation that waits longest among those the actor sees; None when there is none.

    One atomic statement: however many people press at once, no two get the same one.
    """
    require(actor, Permission.CONVERSATION_UPDATE)
    if actor.user_id is None:
        raise Invalid(_("Only a person can take a conversation."), "not_a_person")
    longest = (
        visible(actor, C).where(C.status == "open", C.assignee_id.is_(None))
        .with_only_columns(C.organization_id, C.id).order_by(C.waiting_since.asc().nulls_last(), C.id)
        .limit(1).with_for_update(skip_locked=True).cte("longest").prefix_with("materialized")
    )  # fmt: skip
    taken = session.execute(
        update(C).where(C.organization_id == longest.c.organization_id, C.id == longest.c.id)
        .values(assignee_id=actor.user_id, assigned_at=now()).returning(C).execution_options(synchronize_session=False)
    ).scalar_one_or_none()  # fmt: skip
    if taken is None:
        return None
    diff = {"assignee_id": [None, str(actor.user_id)], "assignee": ["", actor.name]}
    _tell(actor, "conversation.taken", taken, diff)
    return taken.id


# ---------------------------------------------------------------- where it stands


def resolve(actor: Actor, conversation: m.Conversation) -> None:
    """Done with; a new message of the contact opens it again. Twice is once."""
    require(actor, Permission.CONVERSATION_UPDATE)
    _set_status(actor, conversation, "conversation.resolved", status="resolved", snoozed_until=None, waiting_since=None)


def reopen(actor: Actor, conversation: m.Conversation) -> None:
    """Back among the open ones; if the contact had the last word, they wait since then."""
    require(actor, Permission.CONVERSATION_UPDATE)
    waits = conversation.last_inbound_at if conversation.last_direction == "in" else None
    _set_status(actor, conversation, "conversation.reopened", status="open", snoozed_until=None, waiting_since=waits)


def snooze(actor: Actor, conversation: m.Conversation, until: datetime) -> None:
    """Out of sight until then; it comes back earlier when the contact writes."""
    require(actor, Permission.CONVERSATION_UPDATE)
    moment = now()
    if until.tzinfo is None or not moment < until <= moment + LONGEST_SNOOZE:
        raise Invalid(_("Choose a time in the future, at most a year away."), "bad_time")
    _set_status(actor, conversation, "conversation.snoozed", status="snoozed", snoozed_until=until)


def organizations_to_wake() -> list[uuid.UUID]:
    """Organizations with a snooze that has ended; asked across all of them, by upkeep."""
    query = select(C.organization_id).where(C.status == "snoozed", C.snoozed_until <= now()).distinct()
    return list(session.scalars(query))


def wake_snoozed(actor: Actor, limit: int = 500) -> int:
    """Open again what was snoozed until now; answers how many. May run twice at once: each is woken by one of them."""
    due = (
        visible(actor, C).where(C.status == "snoozed", C.snoozed_until <= now()).order_by(C.snoozed_until)
        .limit(limit).with_for_update(skip_locked=True)
    )  # fmt: skip
    woken = list(session.scalars(due))
    for conversation in woken:
        _set_status(actor, conversation, "conversation.woken", status="open", snoozed_until=None)
    return len(woken)


def _set_status(actor: Actor, conversation: m.Conversation, action: str, **values: Any) -> None:
    before = conversation.status
    if before == values["status"] and conversation.snoozed_until == values.get("snoozed_until"):
        return
    if _compare_and_set(conversation, C.status == before, **values) is None:
        raise Conflict(_("Somebody has just changed this conversation; look again."), "changed_already")
    diff: dict[str, Any] = {"status": [before, values["status"]]}
    if values.get("snoozed_until"):
        diff["snoozed_until"] = [None, values["snoozed_until"].isoformat()]
    _tell(actor, action, conversation, diff)


def mark_seen(actor: Actor, conversation: m.Conversation) -> bool:
    """Nothing is unread any more, and the contact gets their blue ticks; False when nothing was unread.

    Only those who may work on it mark it: a viewer who looks leaves no trace for the contact.
    """
    if Permission.CONVERSATION_UPDATE not in actor.permissions:
        return False
    was = conversation.unread_count
    if not was or _compare_and_set(conversation, C.unread_count > 0, unread_count=0) is None:
        return False
    auditing.record(actor, "conversation.seen", conversation, diff={"unread_count": [was, 0]})
    publish(Event.CONVERSATION_CHANGED, conversation.organization_id, conversation_id=conversation.id)
    enqueue(DEFAULT, Job.CONFIRM_READ, str(conversation.organization_id), str(conversation.id))
    return True


def mark_unread(actor: Actor, conversation: m.Conversation) -> None:
    """Bold in the list again, as a reminder; the contact's blue ticks stay."""
    require(actor, Permission.CONVERSATION_UPDATE)
    if _compare_and_set(conversation, C.unread_count == 0, unread_count=1) is not None:
        _tell(actor, "conversation.marked_unread", conversation, {"unread_count": [0, 1]})


# ---------------------------------------------------------------- labels


def add_label(actor: Actor, conversation: m.Conversation, label_id: uuid.UUID | str) -> None:
    """Twice is once."""
    require(actor, Permission.CONVERSATION_UPDATE)
    label = access.get(actor, m.Label, label_id)
    key = {"organization_id": conversation.organization_id, "conversation_id": conversation.id, "label_id": label.id}
    added = session.execute(
        insert(m.ConversationLabel).values(id=new_id(), **key).on_conflict_do_nothing()
        .returning(m.ConversationLabel.id)
    ).first()  # fmt: skip
    if added:
        _tell(actor, "conversation.labelled", conversation, {"label": ["", label.name]})


def remove_label(actor: Actor, conversation: m.Conversation, label_id: uuid.UUID | str) -> None:
    """Twice is once."""
    require(actor, Permission.CONVERSATION_UPDATE)
    label = access.get(actor, m.Label, label_id)
    row = m.ConversationLabel
    gone = session.execute(
        delete(row).where(row.organization_id == conversation.organization_id,
                          row.conversation_id == conversation.id, row.label_id == label.id).returning(row.id)
    ).first()  # fmt: skip
    if gone:
        _tell(actor, "conversation.unlabelled", conversation, {"label": [label.name, ""]})


# ---------------------------------------------------------------- below


def _compare_and_set(conversation: m.Conversation, still: Any, **values: Any) -> Row[Any] | None:
    """One UPDATE that only finds the row while it is as the actor saw it; the object in hand follows."""
    changed = session.execute(
        update(C).where(C.organization_id == conversation.organization_id, C.id == conversation.id, still)
        .values(**values).returning(C.id).execution_options(synchronize_session=False)
    ).first()  # fmt: skip
    if changed is not None:
        session.refresh(conversation, list(values))
    return changed


def _refuse_or_accept(conversation: m.Conversation, wanted: uuid.UUID | None, moment: datetime) -> None:
    """Somebody was faster: fine if it came out as the actor wished, a Conflict that names them if not."""
    session.refresh(conversation, ["assignee_id", "assigned_at"])
    if conversation.assignee_id == wanted:
        return
    if conversation.assignee_id is None:
        raise Conflict(_("Nobody has this conversation any more; look again."), "given_back_already")
    name, since = _name_of(conversation.assignee_id), conversation.assigned_at
    seconds = max(0, round((moment - since).total_seconds())) if since else 0
    raise Conflict(
        _("Already taken by %(name)s %(ago)s.", name=name, ago=_ago(seconds)), "taken_already",
        assignee_id=str(conversation.assignee_id), seconds=seconds,
    )  # fmt: skip


def _ago(seconds: int) -> str:
    if seconds < 60:
        return _("%(number)s s ago", number=seconds)
    if seconds < 3600:
        return _("%(number)s min ago", number=seconds // 60)
    return _("%(number)s h ago", number=seconds // 3600)


def _assignable(actor: Actor, conversation: m.Conversation, user_id: uuid.UUID) -> str:
    """The person's name, if they belong here and could see the conversation once it is theirs."""
    member = session.scalar(
        visible(actor, m.Membership).where(m.Membership.user_id == user_id, m.Membership.active)
        .options(joinedload(m.Membership.user), joinedload(m.Membership.custom_role))
    )  # fmt: skip
    may = access.member(member.user, member, frozenset()).permissions if member else frozenset()
    reads = {Permission.CONVERSATION_READ_OWN, Permission.CONVERSATION_READ_TEAM, Permission.CONVERSATION_READ_ALL}
    if member is None or not may & reads or Permission.CONVERSATION_UPDATE not in may:
        raise Invalid(_("This person cannot take conversations; choose somebody else."), "not_assignable")
    return str(member.user)


def _name_of(user_id: uuid.UUID | None) -> str:
    if user_id is None:
        return ""
    user = session.scalar(select(m.User).where(m.User.id == user_id))
    return str(user) if user else _("a former colleague")


def _tell(actor: Actor, action: str, conversation: m.Conversation, diff: dict[str, Any], **also: Any) -> None:
    auditing.record(actor, action, conversation, diff=diff)
    publish(
        Event.CONVERSATION_CHANGED, conversation.organization_id, conversation_id=conversation.id,
        **{name: value for name, value in also.items() if value},
    )  # fmt: skip


def _text(id: uuid.UUID | None) -> str | None:
    return str(id) if id else None
