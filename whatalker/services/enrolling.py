"""People, their roles and their teams; its one rule: nobody grants above their own rank or what they do not hold themselves.

Nor does anybody change their own role, nor lose an organization its last owner: every change of access locks the organization first
and asks again, from the rows, what the acting person may do, so two changes at the same moment cannot step around each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.orm import joinedload

from whatalker.access import ROLES, Actor, Permission, member, require
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.events import Event, publish
from whatalker.language import LANGUAGES
from whatalker.models import Membership, Organization, Role, Team, TeamMember, User, UserSession
from whatalker.models.user import ORGANIZATION_ROLES, STAFF_ROLES
from whatalker.services import auditing
from whatalker.services.cleaning import an_email, one_line
from whatalker.tenancy import as_user


def add_person(
    actor: Actor, email: str, *, name: str = "", role: str | None = "agent", role_id: uuid.UUID | None = None,
    team_ids: Sequence[uuid.UUID] = (),
) -> tuple[Membership, bool]:  # fmt: skip
    """Let a person in, by email; a new account has no password until its owner chooses one by the link in their letter.

    Answers the membership, and whether the account is new. Conflict when they are in already. The letter is the face's to send.
    """
    actor = lock_access(actor, Permission.USER_UPDATE)
    assert actor.organization_id is not None
    granted = _grantable(actor, role, role_id)
    user, is_new = find_or_make_user(actor, an_email(email), one_line(name, "name", 120, may_be_empty=True))
    if session.scalar(select(Membership.id).where(Membership.user_id == user.id, _inside(Membership, actor))):
        raise Conflict(_("This person is in your organization already."), "already_member")
    membership = Membership(organization_id=actor.organization_id, user_id=user.id, **granted)
    session.add(membership)
    session.flush()
    auditing.record(actor, "member.added", membership, diff=_granted_words(granted) | {"user_id": [None, str(user.id)]})
    if team_ids:
        set_teams(actor, membership, team_ids)
    _tell(actor, user.id)
    return membership, is_new


def change_role(
    actor: Actor, membership: Membership, *, role: str | None = None, role_id: uuid.UUID | None = None
) -> Membership:
    """Give a member another role, built-in or custom; never one's own, never above one's own rank, never the last owner's."""
    actor = lock_access(actor, Permission.USER_UPDATE)
    membership = _reach(actor, membership)
    granted = _grantable(actor, role, role_id)
    if membership.role == "owner" and granted["role"] != "owner":
        _keep_an_owner(membership)
    before = {"role": membership.role, "role_id": membership.role_id and str(membership.role_id)}
    membership.role, membership.role_id = granted["role"], granted["role_id"]
    after = _granted_words(granted)
    diff = {key: [before[key], after[key][1]] for key in before if before[key] != after[key][1]}
    if diff:
        auditing.record(actor, "member.role_changed", membership, diff=diff | {"user_id": [None, str(membership.user_id)]})
        _tell(actor, membership.user_id)
    return membership


def deactivate_member(actor: Actor, membership: Membership, reason: str = "") -> Membership:
    """Let a person in no longer; what they did stays theirs, and their open pages close. Harmless when done twice."""
    actor = lock_access(actor, Permission.USER_UPDATE)
    membership = _reach(actor, membership)
    if membership.active:
        if membership.role == "owner":
            _keep_an_owner(membership)
        membership.active = False
        auditing.record(actor, "member.deactivated", membership, reason=reason)
        _tell(actor, membership.user_id)
    return membership


def reactivate_member(actor: Actor, membership: Membership) -> Membership:
    """Let a person in again, with the role they had: which the acting person must be able to grant."""
    actor = lock_access(actor, Permission.USER_UPDATE)
    membership = _reach(actor, membership)
    _grantable(actor, membership.role, membership.role_id)
    if not membership.active:
        membership.active = True
        auditing.record(actor, "member.reactivated", membership)
        _tell(actor, membership.user_id)
    return membership


def set_teams(actor: Actor, membership: Membership, team_ids: Sequence[uuid.UUID]) -> None:
    """Make these the member's teams, and no others; NotFound when one of them is not a team of this organization."""
    require(actor, Permission.USER_UPDATE)
    wanted = set(team_ids)
    there = set(session.scalars(select(Team.id).where(Team.id.in_(wanted), _inside(Team, actor))))
    if wanted - there:
        raise NotFound(_("There is no such team."))
    rows = session.scalars(
        select(TeamMember).where(TeamMember.membership_id == membership.id, _inside(TeamMember, actor)).with_for_update()
    ).all()
    before = {row.team_id for row in rows}
    if before == wanted:
        return
    for row in rows:
        if row.team_id not in wanted:
            session.delete(row)
    session.add_all(
        TeamMember(organization_id=actor.organization_id, team_id=team, membership_id=membership.id) for team in wanted - before
    )
    auditing.record(
        actor, "member.teams_changed", membership,
        diff={"teams": [sorted(map(str, before)), sorted(map(str, wanted))]},
    )  # fmt: skip
    _tell(actor, membership.user_id)


def end_sessions(actor: Actor, membership: Membership) -> int:
    """Sign a member out of every browser, in all their organizations: a stolen device knows no borders. Answers how many."""
    actor = lock_access(actor, Permission.USER_UPDATE)
    membership = _reach(actor, membership)
    ended = end_sessions_of(membership.user_id)
    auditing.record(actor, "member.signed_out", membership, diff={"sessions_ended": [0, ended]})
    return ended


def set_staff_role(actor: Actor, user: User, role: str | None, reason: str) -> User:
    """Make somebody one of the provider's own people, or no longer; never oneself, never the last platform admin."""
    require(actor, Permission.STAFF_UPDATE)
    reason = one_line(reason, "reason", 500)
    if role is not None and role not in STAFF_ROLES:
        raise Invalid(_("There is no such role."), "invalid_role")
    if user.id == actor.user_id:
        raise NotAllowed(_("Nobody changes their own role; ask another platform admin."), "own_role")
    # One lock for all: the platform's admins are few, and two of them must not remove each other at once.
    admins = session.scalars(
        select(User.id).where(User.staff_role == "platform_admin", User.active).order_by(User.id).with_for_update()
    ).all()
    if actor.user_id not in admins:
        raise NotAllowed(_("You are no longer a platform admin."), "own_role_changed")
    if user.id in admins and role != "platform_admin" and len(admins) == 1:
        raise Conflict(_("The last platform admin must stay."), "last_owner")
    if user.staff_role != role:
        before, user.staff_role = user.staff_role, role
        auditing.record(actor, "staff.role_changed", user, reason=reason, diff={"staff_role": [before, role]})
    return user


def update_own_profile(actor: Actor, user: User, *, name: str, language: str, time_zone: str, enter_sends: bool) -> User:
    """What people set about themselves; their email and role are not among it."""
    if user.id != actor.user_id:
        raise NotAllowed(_("This is somebody else's profile."))
    if language not in LANGUAGES or time_zone not in available_timezones():
        raise Invalid(_("Choose a language and a time zone from the lists."), "invalid_choice")
    user.name = one_line(name, "name", 120, may_be_empty=True)
    user.language, user.time_zone, user.enter_sends = language, time_zone, enter_sends
    auditing.record(actor, "profile.updated", user)
    return user


# ---------------------------------------------------------------- what the rules above stand on


def lock_access(actor: Actor, permission: Permission) -> Actor:
    """Make all changes of access in this organization wait in line, and answer the actor as the rows say now.

    Somebody who was demoted a moment ago, in a request that began before, may do no more than their new role.
    """
    require(actor, permission)
    if actor.organization_id is None:
        raise NotAllowed(_("Choose an organization first."), "no_organization")
    session.execute(select(Organization.id).where(Organization.id == actor.organization_id).with_for_update())
    if actor.kind != "user":
        return actor
    own = session.scalar(
        select(Membership)
        .where(Membership.id == actor.membership_id, _inside(Membership, actor))
        .options(joinedload(Membership.user), joinedload(Membership.custom_role))
        .execution_options(populate_existing=True)
    )
    if own is None or not own.active:
        raise NotAllowed(_("You are no longer a member of this organization."), "own_role_changed")
    fresh = member(own.user, own, actor.team_ids, request_id=actor.request_id, ip=actor.ip)
    require(fresh, permission)
    return fresh


def _inside(model: Any, actor: Actor) -> Any:
    return model.organization_id == actor.organization_id


def _reach(actor: Actor, membership: Membership) -> Membership:
    """The membership as it is now; refused when it is one's own or ranks above oneself."""
    found = session.scalar(
        select(Membership)
        .where(Membership.id == membership.id, _inside(Membership, actor))
        .options(joinedload(Membership.user), joinedload(Membership.custom_role))
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(_("There is no such member."))
    if found.user_id == actor.user_id:
        raise NotAllowed(_("Nobody changes their own role or membership; ask another owner or admin."), "own_role")
    if member(found.user, found, frozenset()).rank > actor.rank:
        raise NotAllowed(_("This person ranks above you."), "rank_too_high")
    return found


def _grantable(actor: Actor, role: str | None, role_id: uuid.UUID | None) -> dict[str, Any]:
    """The role as columns of a membership, if this actor may give it to somebody."""
    if (role is None) == (role_id is None):
        raise Invalid(_("Choose one role."), "invalid_role")
    if role is not None:
        if role not in ORGANIZATION_ROLES:
            raise Invalid(_("There is no such role."), "invalid_role")
        rank, permissions = ROLES[role].rank, ROLES[role].permissions
    else:
        custom = session.scalar(select(Role).where(Role.id == role_id, _inside(Role, actor)))
        if custom is None:
            raise NotFound(_("There is no such role."))
        known = {str(permission): permission for permission in Permission}
        rank, permissions = custom.rank, frozenset(known[p] for p in custom.permissions if p in known)
    check_grant(actor, rank, permissions)
    return {"role": role, "role_id": role_id}


def check_grant(actor: Actor, rank: int, permissions: frozenset[Permission]) -> None:
    """Refuse to give a rank above one's own, or a permission one does not hold."""
    if rank > actor.rank:
        raise NotAllowed(_("You cannot give a role that ranks above your own."), "rank_too_high")
    if missing := sorted(permissions - actor.permissions):
        raise NotAllowed(
            _("You cannot give what you do not have yourself: %(permissions)s.", permissions=", ".join(missing[:3])),
            "permission_not_held",
            permission=str(missing[0]),
        )  # fmt: skip


def _keep_an_owner(leaving: Membership) -> None:
    """Called under lock_access: nobody else can take the other owners away meanwhile."""
    others = session.scalar(
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.organization_id == leaving.organization_id, Membership.role == "owner", Membership.active,
            User.active, Membership.id != leaving.id,
        )
    )  # fmt: skip
    if not others:
        raise Conflict(_("An organization keeps at least one owner; make somebody else owner first."), "last_owner")


def find_or_make_user(actor: Actor, email: str, name: str) -> tuple[User, bool]:
    """By email, over all organizations: an account belongs to a person. The provider's own people join none."""
    assert actor.user_id is not None or actor.kind != "user"
    with as_user(actor.user_id or new_id()):
        user = session.scalar(select(User).where(User.email == email))
        if user is not None and (user.staff_role or not user.active):
            raise Invalid(_("This person cannot be added; use another email."), "cannot_be_added")
        if user is not None:
            return user, False
        user = User(id=new_id(), email=email, name=name, fs_uniquifier=uuid.uuid4().hex, password=None)
        session.add(user)
        session.flush()
        return user, True


def _granted_words(granted: dict[str, Any]) -> dict[str, list[Any]]:
    return {"role": [None, granted["role"]], "role_id": [None, granted["role_id"] and str(granted["role_id"])]}


def _tell(actor: Actor, user_id: uuid.UUID) -> None:
    assert actor.organization_id is not None
    publish(Event.ACCESS_CHANGED, actor.organization_id, user_id=user_id)


def end_sessions_of(user_id: uuid.UUID, *conditions: Any) -> int:
    """End this person's sessions that meet the conditions, and tell their open pages in every organization; how many ended."""
    ended = session.execute(
        update(UserSession)
        .where(UserSession.user_id == user_id, UserSession.revoked_at.is_(None), *conditions)
        .values(revoked_at=now())
    )
    count = int(ended.rowcount)  # type: ignore[attr-defined]
    if count:
        with as_user(user_id):
            organizations = session.scalars(select(Membership.organization_id).where(Membership.user_id == user_id)).all()
        for organization_id in organizations:
            publish(Event.ACCESS_CHANGED, organization_id, user_id=user_id)
    return count
