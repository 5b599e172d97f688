"""Who may do and who may see what; its one rule: two tables anyone can read aloud, ROLES and VISIBILITY, and nothing beside them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select, true

from whatalker import models as m
from whatalker.db import Model, session
from whatalker.errors import NotAllowed, NotFound


class Permission(StrEnum):
    """The closed list; roles, custom ones included, are made of these."""

    INBOX_OPEN = "inbox:open"
    ADMIN_OPEN = "admin:open"
    CONVERSATION_READ_OWN = "conversation:read_own"
    CONVERSATION_READ_TEAM = "conversation:read_team"
    CONVERSATION_READ_ALL = "conversation:read_all"
    CONVERSATION_UPDATE = "conversation:update"
    CONVERSATION_ASSIGN = "conversation:assign"
    MESSAGE_SEND = "message:send"
    NOTE_CREATE = "note:create"
    CONTACT_READ = "contact:read"
    CONTACT_UPDATE = "contact:update"
    CONTACT_MERGE = "contact:merge"
    CONTACT_REVEAL = "contact:reveal"
    TEMPLATE_READ = "template:read"
    TEMPLATE_UPDATE = "template:update"
    CANNED_REPLY_UPDATE = "canned_reply:update"
    LABEL_UPDATE = "label:update"
    CHANNEL_ACCOUNT_READ = "channel_account:read"
    CHANNEL_ACCOUNT_UPDATE = "channel_account:update"
    USER_READ = "user:read"
    USER_UPDATE = "user:update"
    ROLE_READ = "role:read"
    ROLE_UPDATE = "role:update"
    TEAM_UPDATE = "team:update"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_UPDATE = "organization:update"
    DECISION_READ = "decision:read"
    AUDIT_READ = "audit:read"
    # The provider's own people only; no organization can grant these.
    PLATFORM_READ = "platform:read"
    ORGANIZATION_CREATE = "organization:create"
    ORGANIZATION_ENFORCE = "organization:enforce"
    STAFF_UPDATE = "staff:update"
    WEBHOOK_READ = "webhook:read"


P = Permission
PLATFORM_ONLY = frozenset({P.PLATFORM_READ, P.ORGANIZATION_CREATE, P.ORGANIZATION_ENFORCE, P.STAFF_UPDATE, P.WEBHOOK_READ})

_VIEWER = frozenset({P.INBOX_OPEN, P.CONVERSATION_READ_TEAM, P.CONTACT_READ, P.TEMPLATE_READ})
_AGENT = frozenset({
    P.INBOX_OPEN, P.CONVERSATION_READ_OWN, P.CONVERSATION_UPDATE, P.CONVERSATION_ASSIGN, P.MESSAGE_SEND, P.NOTE_CREATE,
    P.CONTACT_READ, P.CONTACT_UPDATE, P.TEMPLATE_READ,
})  # fmt: skip
_LEAD = _AGENT | {
    P.ADMIN_OPEN, P.CONVERSATION_READ_TEAM, P.CONTACT_MERGE, P.CONTACT_REVEAL, P.CANNED_REPLY_UPDATE, P.LABEL_UPDATE,
    P.USER_READ, P.DECISION_READ,
}  # fmt: skip
_DEVELOPER = frozenset({
    P.ADMIN_OPEN, P.CHANNEL_ACCOUNT_READ, P.TEMPLATE_READ, P.TEMPLATE_UPDATE, P.ORGANIZATION_READ, P.DECISION_READ,
})  # fmt: skip
_ADMIN = _LEAD | _DEVELOPER | {
    P.CONVERSATION_READ_ALL, P.CHANNEL_ACCOUNT_UPDATE, P.USER_UPDATE, P.ROLE_READ, P.ROLE_UPDATE, P.TEAM_UPDATE,
    P.ORGANIZATION_UPDATE, P.AUDIT_READ,
}  # fmt: skip
_STAFF_READ = frozenset({
    P.ADMIN_OPEN, P.PLATFORM_READ, P.ORGANIZATION_READ, P.USER_READ, P.ROLE_READ, P.CHANNEL_ACCOUNT_READ,
    P.TEMPLATE_READ, P.AUDIT_READ,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RoleFact:
    """A built-in role: its rank (nobody grants above their own) and what it may do."""

    rank: int
    permissions: frozenset[Permission]


ROLES: dict[str, RoleFact] = {
    "viewer":             RoleFact(10, _VIEWER),
    "agent":              RoleFact(20, _AGENT),
    "developer":          RoleFact(30, _DEVELOPER),
    "team_lead":          RoleFact(40, _LEAD),
    "admin":              RoleFact(60, _ADMIN),
    "owner":              RoleFact(80, _ADMIN),
    # The provider's own people; they read across organizations only with a stated reason.
    "back_office":        RoleFact(100, _STAFF_READ | {P.ORGANIZATION_CREATE, P.ORGANIZATION_ENFORCE, P.WEBHOOK_READ}),
    "compliance_officer": RoleFact(100, _STAFF_READ | {P.DECISION_READ, P.CONTACT_READ, P.CONVERSATION_READ_ALL,
                                                       P.ORGANIZATION_ENFORCE}),
    "platform_admin":     RoleFact(120, _STAFF_READ | {P.ORGANIZATION_CREATE, P.ORGANIZATION_ENFORCE, P.STAFF_UPDATE,
                                                       P.WEBHOOK_READ, P.DECISION_READ}),
}  # fmt: skip
"""Every role and what it may do."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is acting: a person in one organization, one of the provider's people, or a part of the product itself."""

    kind: str
    """user, staff, system, contact or provider."""
    name: str
    user_id: uuid.UUID | None = None
    organization_id: uuid.UUID | None = None
    membership_id: uuid.UUID | None = None
    role: str = ""
    rank: int = 0
    permissions: frozenset[Permission] = frozenset()
    team_ids: frozenset[uuid.UUID] = field(default_factory=frozenset)
    reason: str = ""
    """Staff: why they are reading across organizations; empty: they see none."""
    request_id: str = ""
    ip: str = ""


NOBODY = Actor(kind="nobody", name="")


def system(name: str, organization_id: uuid.UUID | None = None, kind: str = "system") -> Actor:
    """A job, a contact or a provider acting: it may do everything inside its organization, and the audit names it."""
    everything = frozenset(Permission) - PLATFORM_ONLY
    return Actor(kind=kind, name=name, organization_id=organization_id, rank=90, permissions=everything)


def member(user: m.User, membership: m.Membership, team_ids: frozenset[uuid.UUID], **request: Any) -> Actor:
    """The person as a member of an organization; an inactive membership may do nothing."""
    custom = membership.custom_role
    if custom is not None:
        known = {str(p) for p in Permission}
        rank, permissions = custom.rank, frozenset(P(p) for p in custom.permissions if p in known) - PLATFORM_ONLY
    else:
        fact = ROLES[membership.role or "viewer"]
        rank, permissions = fact.rank, fact.permissions
    return Actor(
        kind="user", name=str(user), user_id=user.id, organization_id=membership.organization_id,
        membership_id=membership.id, role=custom.name if custom else membership.role or "", rank=rank,
        permissions=permissions if membership.active else frozenset(), team_ids=team_ids, **request,
    )  # fmt: skip


def staff(user: m.User, organization_id: uuid.UUID | None = None, reason: str = "", **request: Any) -> Actor:
    """One of the provider's people, looking at one organization or, with a reason, across all of them."""
    fact = ROLES[user.staff_role or ""]
    return Actor(
        kind="staff", name=str(user), user_id=user.id, organization_id=organization_id, role=user.staff_role or "",
        rank=fact.rank, permissions=fact.permissions, reason=reason, **request,
    )  # fmt: skip


def can(actor: Actor, permission: Permission) -> bool:
    return permission in actor.permissions


def require(actor: Actor, permission: Permission) -> None:
    """Raise NotAllowed, naming what is missing, unless the actor may."""
    if permission not in actor.permissions:
        raise NotAllowed(
            _(
                "Your role does not include %(permission)s; an owner or admin of your organization can change that.",
                permission=permission,
            ),
            permission=str(permission),
        )


# ---------------------------------------------------------------- who sees what


def _conversations(actor: Actor) -> ColumnElement[bool]:
    c = m.Conversation
    if P.CONVERSATION_READ_ALL in actor.permissions:
        return true()
    mine = c.assignee_id == actor.user_id
    my_teams = or_(c.team_id.is_(None), c.team_id.in_(sorted(actor.team_ids)))
    if P.CONVERSATION_READ_TEAM in actor.permissions:
        return or_(mine, my_teams)
    if P.CONVERSATION_READ_OWN in actor.permissions:
        return or_(mine, and_(c.assignee_id.is_(None), my_teams))
    return false()


def _through_conversation(column: Any) -> Callable[[Actor], ColumnElement[bool]]:
    """Whatever belongs to a conversation is seen by whoever sees the conversation."""

    def rule(actor: Actor) -> ColumnElement[bool]:
        if P.CONVERSATION_READ_ALL in actor.permissions:
            return true()
        c, table = m.Conversation, column.class_
        return exists().where(c.organization_id == table.organization_id, c.id == column, _conversations(actor))

    return rule


def _through_message(column: Any) -> Callable[[Actor], ColumnElement[bool]]:
    def rule(actor: Actor) -> ColumnElement[bool]:
        if P.CONVERSATION_READ_ALL in actor.permissions:
            return true()
        message, table = m.Message, column.class_
        return exists().where(
            message.organization_id == table.organization_id, message.id == column,
            _through_conversation(message.conversation_id)(actor),
        )  # fmt: skip

    return rule


def _decisions(actor: Actor) -> ColumnElement[bool]:
    if P.DECISION_READ in actor.permissions and actor.kind == "staff":
        return true()
    return _through_message(m.SendDecision.message_id)(actor)


def _holding(*permissions: Permission) -> Callable[[Actor], ColumnElement[bool]]:
    """Seen by whoever holds one of the permissions."""
    return lambda actor: true() if actor.permissions & set(permissions) else false()


def _own(column: Any) -> Callable[[Actor], ColumnElement[bool]]:
    return lambda actor: column == actor.user_id if actor.user_id else false()


def _users(actor: Actor) -> ColumnElement[bool]:
    if P.PLATFORM_READ in actor.permissions and actor.organization_id is None:
        return true() if actor.reason else m.User.id == actor.user_id
    colleague = exists().where(
        m.Membership.user_id == m.User.id, m.Membership.organization_id == actor.organization_id
    )
    return or_(m.User.id == actor.user_id, colleague)


def _webhook_calls(actor: Actor) -> ColumnElement[bool]:
    # Nobody knows yet whose news a call holds: whoever reads one organization only must not read it.
    across = actor.reason and actor.organization_id is None
    return true() if P.WEBHOOK_READ in actor.permissions and across else false()


def _organizations(actor: Actor) -> ColumnElement[bool]:
    if P.PLATFORM_READ in actor.permissions and actor.reason and actor.organization_id is None:
        return true()
    return m.Organization.id == actor.organization_id if actor.organization_id else false()


def _everyone(actor: Actor) -> ColumnElement[bool]:
    return true()


VISIBILITY: dict[type[Model], Callable[[Actor], ColumnElement[bool]]] = {
    m.Organization:      _organizations,
    m.User:              _users,
    m.UserSession:       _own(m.UserSession.user_id),
    m.Membership:        _everyone,
    m.Role:              _everyone,
    m.Team:              _everyone,
    m.TeamMember:        _everyone,
    m.Label:             _everyone,
    m.CannedReply:       _everyone,
    m.ChannelAccount:    _everyone,
    m.AccountNotice:     _holding(P.CHANNEL_ACCOUNT_READ),
    m.Template:          _holding(P.TEMPLATE_READ),
    m.Contact:           _holding(P.CONTACT_READ),
    m.ContactIdentity:   _holding(P.CONTACT_READ),
    m.Suppression:       _holding(P.CONTACT_READ),
    m.Conversation:      _conversations,
    m.ConversationLabel: _through_conversation(m.ConversationLabel.conversation_id),
    m.Note:              _through_conversation(m.Note.conversation_id),
    m.Draft:             _own(m.Draft.user_id),
    m.Message:           _through_conversation(m.Message.conversation_id),
    m.MessageEvent:      _through_message(m.MessageEvent.message_id),
    m.Attachment:        _through_message(m.Attachment.message_id),
    m.SendDecision:      _decisions,
    m.AuditEvent:        _holding(P.AUDIT_READ),
    m.WebhookCall:       _webhook_calls,
}  # fmt: skip
"""Who sees which rows inside an organization. "Everyone" means every member: names of teams, labels and numbers are no secret
among colleagues. Which organization is not decided here but in the line below and, again, by PostgreSQL."""

GLOBAL: dict[type[Model], str] = {
    m.Organization: "it is what the others belong to; its own policy shows only the one in scope",
    m.User: "a person may belong to several organizations and signs in before one is chosen",
    m.UserSession: "a browser is signed in as a person, not as a member",
    m.AuditEvent: "the provider's own acts belong to no organization; its policy shows those to the back office only",
    m.WebhookCall: "a provider's call may carry news of several organizations and is stored before it is read",
}
"""The models whose key holds no organization, and why."""

T = TypeVar("T", bound=Model)


def visible(actor: Actor, model: type[T]) -> Select[T]:
    """A SELECT of exactly the rows this actor may see: the only way any face, export, stream or job lists anything."""
    query = select(model).where(VISIBILITY[model](actor))
    if model in (m.Organization, m.User, m.UserSession, m.WebhookCall):
        return query
    if actor.organization_id is not None:
        return query.where(model.organization_id == actor.organization_id)  # type: ignore[attr-defined]
    return query if P.PLATFORM_READ in actor.permissions and actor.reason else query.where(false())


def sees(actor: Actor, model: type[T], id: uuid.UUID) -> bool:
    """Whether the actor may see this one."""
    asked: Any = visible(actor, model).where(model.id == id)  # type: ignore[attr-defined]
    return bool(session.scalar(select(asked.exists())))


def get(actor: Actor, model: type[T], id: uuid.UUID | str | None, *options: Any) -> T:
    """The one with this id, or NotFound: whether it exists elsewhere is never told."""
    try:
        key = id if isinstance(id, uuid.UUID) else uuid.UUID(str(id))
    except ValueError:
        key = None
    query = visible(actor, model).where(model.id == key).options(*options)  # type: ignore[attr-defined]
    found = session.scalar(query) if key else None
    if found is None:
        raise NotFound(_("There is nothing here, or it is not yours to see."))
    return found


def count_up_to(query: Select[Any], most: int = 100) -> int:
    """How many rows, counting no further than `most`: a badge says "99+", and its cost does not grow with the table."""
    return session.scalar(select(func.count()).select_from(query.limit(most).subquery())) or 0
