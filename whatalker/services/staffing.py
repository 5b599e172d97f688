"""Custom roles and teams: what memberships are made of; its one rule: a role holds at most what its maker holds."""

from __future__ import annotations

from collections.abc import Iterable

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from whatalker.access import PLATFORM_ONLY, Actor, Permission, require
from whatalker.db import session
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.events import Event, publish
from whatalker.models import ChannelAccount, Conversation, Membership, Role, Team, TeamMember
from whatalker.services import auditing
from whatalker.services.cleaning import one_line
from whatalker.services.enrolling import check_grant, lock_access


def create_role(actor: Actor, name: str, rank: int, permissions: Iterable[str]) -> Role:
    """A new role from the closed list of permissions, at a rank up to one's own."""
    actor = lock_access(actor, Permission.ROLE_UPDATE)
    chosen = _chosen(actor, rank, permissions)
    role = Role(organization_id=actor.organization_id, name=one_line(name, "name", 80), rank=rank, permissions=chosen)
    _store(role, _("There is a role of this name already."))
    auditing.record(actor, "role.created", role, diff={"name": [None, role.name], "rank": [None, rank], "permissions": [None, chosen]})
    return role


def update_role(actor: Actor, role: Role, *, name: str, rank: int, permissions: Iterable[str]) -> Role:
    """Change a role for all who hold it; not the one oneself holds, nor one that ranks above oneself."""
    actor = lock_access(actor, Permission.ROLE_UPDATE)
    role = _reach_role(actor, role)
    role.name, role.rank, role.permissions = one_line(name, "name", 80), rank, _chosen(actor, rank, permissions)
    auditing.record(actor, "role.updated", role)
    _store(role, _("There is a role of this name already."))
    assert actor.organization_id is not None
    for user_id in session.scalars(select(Membership.user_id).where(Membership.role_id == role.id)):
        publish(Event.ACCESS_CHANGED, actor.organization_id, user_id=user_id)
    return role


def delete_role(actor: Actor, role: Role) -> None:
    """Remove a role that nobody holds; Conflict while somebody does."""
    actor = lock_access(actor, Permission.ROLE_UPDATE)
    role = _reach_role(actor, role)
    if holders := session.scalar(select(func.count()).select_from(Membership).where(Membership.role_id == role.id)):
        sentence = ngettext(
            "%(num)s person holds this role; give them another one first.",
            "%(num)s people hold this role; give them another one first.",
            holders,
        )
        raise Conflict(sentence, "role_in_use")
    auditing.record(actor, "role.deleted", role, diff={"name": [role.name, None]})
    session.delete(role)


def create_team(actor: Actor, name: str) -> Team:
    require(actor, Permission.TEAM_UPDATE)
    team = Team(organization_id=actor.organization_id, name=one_line(name, "name", 80))
    _store(team, _("There is a team of this name already."))
    auditing.record(actor, "team.created", team, diff={"name": [None, team.name]})
    return team


def rename_team(actor: Actor, team: Team, name: str) -> Team:
    require(actor, Permission.TEAM_UPDATE)
    before, team.name = team.name, one_line(name, "name", 80)
    _store(team, _("There is a team of this name already."))
    auditing.record(actor, "team.renamed", team, diff={"name": [before, team.name]})
    return team


def delete_team(actor: Actor, team: Team) -> None:
    """Remove a team that no number and no conversation lands in; its members stay members of the organization."""
    actor = lock_access(actor, Permission.TEAM_UPDATE)
    for model, sentence in (
        (ChannelAccount, _("A number is in this team's inbox; move it first.")),
        (Conversation, _("A conversation is in this team's inbox; move it first.")),
    ):
        if session.scalar(select(select(model.id).where(model.team_id == team.id).exists())):
            raise Conflict(sentence, "team_in_use")
    assert actor.organization_id is not None
    held = select(Membership.user_id).join(
        TeamMember, (TeamMember.membership_id == Membership.id) & (TeamMember.organization_id == Membership.organization_id)
    )
    for user_id in session.scalars(held.where(TeamMember.team_id == team.id)).all():
        publish(Event.ACCESS_CHANGED, actor.organization_id, user_id=user_id)
    auditing.record(actor, "team.deleted", team, diff={"name": [team.name, None]})
    session.delete(team)


def _chosen(actor: Actor, rank: int, permissions: Iterable[str]) -> list[str]:
    """The permissions as stored; Invalid for words that are none, NotAllowed for what an organization or the actor cannot give."""
    known = {str(permission): permission for permission in Permission}
    wanted = set(permissions)
    if unknown := sorted(wanted - known.keys()):
        raise Invalid(_("There is no permission “%(permission)s”.", permission=unknown[0]), "unknown_permission")
    if not 1 <= rank <= 99:
        raise Invalid(_("A rank is a number from 1 to 99."), "invalid_rank")
    chosen = frozenset(known[word] for word in wanted)
    if chosen & PLATFORM_ONLY:
        raise NotAllowed(_("Some of these belong to the provider's own people alone."), "permission_not_held")
    check_grant(actor, rank, chosen)
    return sorted(str(permission) for permission in chosen)


def _reach_role(actor: Actor, role: Role) -> Role:
    found = session.scalar(
        select(Role)
        .where(Role.id == role.id, Role.organization_id == actor.organization_id)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(_("There is no such role."))
    if found.rank > actor.rank:
        raise NotAllowed(_("This role ranks above you."), "rank_too_high")
    own = select(Membership.role_id).where(Membership.id == actor.membership_id)
    if actor.membership_id and session.scalar(own) == found.id:
        raise NotAllowed(_("Nobody changes the role they hold themselves."), "own_role")
    return found


def _store(row: Role | Team, taken: str) -> None:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Conflict(taken, "name_taken") from error
