"""Custom roles and teams: made of what their maker holds, and not removed while somebody stands on them."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import People
from tests.services.rights import acting, member_of, membership_of
from whatalker import access
from whatalker import models as m
from whatalker.access import Actor, Permission
from whatalker.db import session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.services import enrolling, staffing
from whatalker.tenancy import as_organization

# ---------------------------------------------------------------- custom roles


def test_a_custom_role_holds_what_its_maker_holds_and_no_more(people: People, app_context: None) -> None:
    admin = member_of(people, "admin")
    with acting(admin):
        role = staffing.create_role(admin, "Night shift", 20, ["inbox:open", "conversation:read_team", "message:send"])
    assert (role.rank, role.permissions) == (20, ["conversation:read_team", "inbox:open", "message:send"])
    for rank, permissions, error in (
        (61, ["inbox:open"], NotAllowed), (20, ["platform:read"], NotAllowed), (20, ["staff:update"], NotAllowed),
        (20, ["inbox:open", "world:rule"], Invalid), (0, [], Invalid), (100, [], Invalid),
    ):  # fmt: skip
        with pytest.raises(error), acting(admin):
            staffing.create_role(admin, "Too much", rank, permissions)


def test_someone_with_a_narrow_custom_role_cannot_give_more_than_they_hold(people: People, app_context: None) -> None:
    with acting(people.owner):
        role = staffing.create_role(people.owner, "Doorkeeper", 60, ["user:read", "user:update", "role:update", "inbox:open"])
    keeper = _holder(people, role)
    with pytest.raises(NotAllowed, match="do not have yourself"), acting(keeper):
        enrolling.add_person(keeper, "new@example.com", role="agent")
    with pytest.raises(NotAllowed, match="do not have yourself"), acting(keeper):
        staffing.create_role(keeper, "More", 20, ["message:send"])
    with acting(keeper):
        narrow = staffing.create_role(keeper, "Less", 20, ["inbox:open"])
        enrolling.add_person(keeper, "new@example.com", role=None, role_id=narrow.id)
    with pytest.raises(NotAllowed, match="themselves"), acting(keeper):
        staffing.update_role(keeper, role, name="Doorkeeper", rank=60, permissions=["user:update"])


def _holder(people: People, role: m.Role) -> Actor:
    user = factories.make_user()
    membership = factories.make_membership(people.organization, user, role=None, role_id=role.id)
    return Actor(
        kind="user", name=str(user), user_id=user.id, organization_id=people.organization.id, membership_id=membership.id,
        role=role.name, rank=role.rank, permissions=frozenset(Permission(p) for p in role.permissions),
    )  # fmt: skip


def test_a_custom_role_with_a_word_of_the_providers_in_its_row_still_gives_nothing_of_it(people: People, app_context: None) -> None:
    with transaction(), as_organization(people.organization.id):
        role = m.Role(organization_id=people.organization.id, name="Forged", rank=99, permissions=["platform:read", "inbox:open", "x"])
        session.add(role)
    user = factories.make_user()
    membership = factories.make_membership(people.organization, user, role=None, role_id=role.id)
    with as_organization(people.organization.id):
        membership.custom_role = role
        assert access.member(user, membership, frozenset()).permissions == {Permission.INBOX_OPEN}


def test_a_role_that_is_held_is_not_deleted_and_a_name_is_given_once(people: People, app_context: None) -> None:
    with acting(people.owner):
        role = staffing.create_role(people.owner, "Night", 20, ["inbox:open"])
    with pytest.raises(Conflict), acting(people.owner):
        staffing.create_role(people.owner, "Night", 20, [])
    with acting(people.owner):
        membership = enrolling.change_role(people.owner, membership_of(people.agent), role_id=role.id)
    assert (membership.role, membership.role_id) == (None, role.id)
    with pytest.raises(Conflict), acting(people.owner):
        staffing.delete_role(people.owner, role)
    with acting(people.owner):
        enrolling.change_role(people.owner, membership_of(people.agent), role="agent")
        staffing.delete_role(people.owner, role)


def test_a_role_of_another_organization_cannot_be_granted(people: People, app_context: None) -> None:
    with acting(people.stranger):
        theirs = staffing.create_role(people.stranger, "Theirs", 20, [])
    with pytest.raises(NotFound), acting(people.owner):
        enrolling.change_role(people.owner, membership_of(people.agent), role_id=theirs.id)


# ---------------------------------------------------------------- teams


def test_teams_are_made_renamed_filled_and_deleted(people: People, app_context: None) -> None:
    with acting(people.owner):
        team = staffing.create_team(people.owner, " Night\u200b shift ")
        assert team.name == "Night shift"
        staffing.rename_team(people.owner, team, "Day shift")
        enrolling.set_teams(people.owner, membership_of(people.agent), [team.id, people.team.id])
    with pytest.raises(Conflict), acting(people.owner):
        staffing.create_team(people.owner, "Day shift")
    with acting(people.owner):
        staffing.delete_team(people.owner, team)
    with as_organization(people.organization.id):
        assert session.scalars(select(m.TeamMember.team_id).where(m.TeamMember.membership_id == people.agent.membership_id)).all() == [
            people.team.id
        ]


def test_a_team_that_conversations_land_in_is_not_deleted(people: People, app_context: None) -> None:
    factories.make_conversation(people.organization, team_id=people.team.id)
    with pytest.raises(Conflict), acting(people.owner):
        staffing.delete_team(people.owner, people.team)
