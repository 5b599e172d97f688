"""Who may give which role to whom: ranks, one's own role, the last owner; also at the same moment."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests import factories
from tests.factories import People
from tests.services.rights import acting, audited, member_of, membership_of, officer_who_is
from whatalker import models as m
from whatalker.access import PLATFORM_ONLY, Actor, Permission
from whatalker.db import new_id, session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound, WhatalkerError
from whatalker.services import enrolling, staffing
from whatalker.tenancy import as_organization

# ---------------------------------------------------------------- adding people


def test_a_new_person_gets_an_account_without_a_password(people: People, app_context: None) -> None:
    with acting(people.owner):
        membership, is_new = enrolling.add_person(
            people.owner, " New.Person@Example.com ", name="New  Person", role="agent", team_ids=[people.team.id]
        )
    assert is_new and membership.role == "agent"
    user = session.scalar(select(m.User).where(m.User.email == "new.person@example.com"))
    assert (user.name, user.password, user.staff_role) == ("New Person", None, None)
    assert audited() == ["member.added", "member.teams_changed"]


def test_a_person_with_an_account_is_added_without_a_second_one(people: People, app_context: None) -> None:
    other = session.scalar(select(m.User).where(m.User.id == people.stranger.user_id))
    with acting(people.owner):
        membership, is_new = enrolling.add_person(people.owner, other.email.upper())
    assert not is_new and membership.user_id == other.id


def test_nobody_is_added_twice(people: People, app_context: None) -> None:
    email = session.scalar(select(m.User.email).where(m.User.id == people.agent.user_id))
    with pytest.raises(Conflict), acting(people.owner):
        enrolling.add_person(people.owner, email)


def test_the_providers_own_people_join_no_organization(people: People, app_context: None) -> None:
    email = session.scalar(select(m.User.email).where(m.User.id == people.compliance.user_id))
    with pytest.raises(Invalid), acting(people.owner):
        enrolling.add_person(people.owner, email)


@pytest.mark.parametrize("email", ["", "no", "a@b@c", "a b@example.com", "ana@", "\x00@example.com"])
def test_what_is_no_email_is_refused(people: People, app_context: None, email: str) -> None:
    with pytest.raises(Invalid), acting(people.owner):
        enrolling.add_person(people.owner, email)


def test_a_team_of_another_organization_is_not_found(people: People, app_context: None) -> None:
    theirs = factories.make_team(people.elsewhere)
    with pytest.raises(NotFound), acting(people.owner):
        enrolling.add_person(people.owner, "new@example.com", team_ids=[theirs.id])


# ---------------------------------------------------------------- granting


@pytest.mark.parametrize("role", ["admin", "team_lead", "agent", "developer", "viewer"])
def test_an_admin_grants_up_to_their_own_rank(people: People, app_context: None, role: str) -> None:
    admin = member_of(people, "admin")
    with acting(admin):
        assert enrolling.change_role(admin, membership_of(people.agent), role=role).role == role


def test_nobody_grants_above_their_own_rank(people: People, app_context: None) -> None:
    admin = member_of(people, "admin")
    with pytest.raises(NotAllowed, match="ranks above your own"), acting(admin):
        enrolling.change_role(admin, membership_of(people.agent), role="owner")
    with pytest.raises(NotAllowed, match="ranks above your own"), acting(admin):
        enrolling.add_person(admin, "new@example.com", role="owner")


def test_nobody_touches_somebody_who_ranks_above_them(people: People, app_context: None) -> None:
    admin = member_of(people, "admin")
    for change in (
        lambda: enrolling.change_role(admin, membership_of(people.owner), role="viewer"),
        lambda: enrolling.deactivate_member(admin, membership_of(people.owner)),
        lambda: enrolling.reactivate_member(admin, membership_of(people.owner)),
    ):
        with pytest.raises(NotAllowed, match="ranks above you"), acting(admin):
            change()


@pytest.mark.parametrize("role", ["owner", "admin"])
def test_nobody_changes_their_own_role(people: People, app_context: None, role: str) -> None:
    actor = member_of(people, role)
    for change in (
        lambda: enrolling.change_role(actor, membership_of(actor), role="viewer"),
        lambda: enrolling.deactivate_member(actor, membership_of(actor)),
    ):
        with pytest.raises(NotAllowed, match="their own"), acting(actor):
            change()


@pytest.mark.parametrize("role", ["team_lead", "agent", "developer", "viewer"])
def test_only_those_who_may_change_people_do(people: People, app_context: None, role: str) -> None:
    actor = member_of(people, role)
    for change in (
        lambda: enrolling.change_role(actor, membership_of(people.agent), role="viewer"),
        lambda: enrolling.add_person(actor, "new@example.com", role="viewer"),
        lambda: enrolling.set_teams(actor, membership_of(people.agent), []),
        lambda: staffing.create_role(actor, "Mine", 10, []),
        lambda: staffing.create_team(actor, "Mine"),
    ):
        with pytest.raises(NotAllowed), acting(actor):
            change()


def test_someone_elsewhere_is_not_found(people: People, app_context: None) -> None:
    with pytest.raises(NotFound), acting(people.owner):
        enrolling.change_role(people.owner, membership_of(people.stranger), role="viewer")


@pytest.mark.parametrize("role", ["platform_admin", "compliance_officer", "king", ""])
def test_a_role_that_is_none_of_an_organization_is_refused(people: People, app_context: None, role: str) -> None:
    with pytest.raises(Invalid), acting(people.owner):
        enrolling.change_role(people.owner, membership_of(people.agent), role=role)


def test_someone_demoted_a_moment_ago_may_do_no_more_than_their_new_role(people: People, app_context: None) -> None:
    admin = member_of(people, "admin")
    with acting(people.owner):
        enrolling.change_role(people.owner, membership_of(admin), role="viewer")
    with pytest.raises(NotAllowed), acting(admin):
        enrolling.add_person(admin, "new@example.com")
    with acting(people.owner):
        enrolling.deactivate_member(people.owner, membership_of(admin))
    with pytest.raises(NotAllowed), acting(admin):
        enrolling.add_person(admin, "new@example.com")


# ---------------------------------------------------------------- the last owner


def test_the_last_owner_stays(people: People, app_context: None) -> None:
    second = member_of(people, "owner")
    with acting(people.owner):
        enrolling.deactivate_member(people.owner, membership_of(second))
    with acting(people.owner):
        enrolling.reactivate_member(people.owner, membership_of(second))
    with acting(second):
        enrolling.change_role(second, membership_of(people.owner), role="admin")
    admin_above = Actor(
        kind="system", name="test", organization_id=people.organization.id, rank=90,
        permissions=frozenset(Permission) - PLATFORM_ONLY,
    )  # fmt: skip
    for change in (
        lambda: enrolling.change_role(admin_above, membership_of(second), role="admin"),
        lambda: enrolling.deactivate_member(admin_above, membership_of(second)),
    ):
        with pytest.raises(Conflict, match="at least one owner"), acting(admin_above):
            change()


@pytest.mark.parametrize("attempt", range(5))
def test_two_owners_who_remove_each_other_at_the_same_moment_leave_one(app: Flask, people: People, attempt: int) -> None:
    with app.app_context():
        second = member_of(people, "owner")
    begin, outcomes = threading.Barrier(2), []

    def remove(actor: Actor, other: Actor, how: str) -> None:
        with app.app_context():
            membership = membership_of(other)
            session.rollback()
            begin.wait()
            try:
                with acting(actor):
                    if how == "demote":
                        enrolling.change_role(actor, membership, role="viewer")
                    else:
                        enrolling.deactivate_member(actor, membership)
                outcomes.append("done")
            except WhatalkerError as error:
                outcomes.append(type(error).__name__)

    how = "demote" if attempt % 2 else "deactivate"
    threads = [threading.Thread(target=remove, args=(a, b, how)) for a, b in ((people.owner, second), (second, people.owner))]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert sorted(outcomes) == ["NotAllowed", "done"]
    with app.app_context(), as_organization(people.organization.id):
        owners = select(func.count()).select_from(m.Membership).where(m.Membership.role == "owner", m.Membership.active)
        assert session.scalar(owners) == 1


def test_many_admins_remove_all_owners_at_once_and_one_stays(app: Flask, people: People) -> None:
    with app.app_context():
        owners = [people.owner, *(member_of(people, "owner") for _ in range(3))]
    begin, outcomes = threading.Barrier(len(owners)), []

    def remove(mine: Actor, other: Actor) -> None:
        with app.app_context():
            membership = membership_of(other)
            session.rollback()
            begin.wait()
            try:
                with acting(mine):
                    enrolling.deactivate_member(mine, membership)
                outcomes.append("done")
            except WhatalkerError:
                outcomes.append("refused")

    threads = [threading.Thread(target=remove, args=(owners[i], owners[(i + 1) % 4])) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert len(outcomes) == 4
    with app.app_context(), as_organization(people.organization.id):
        left = session.scalar(
            select(func.count()).select_from(m.Membership).where(m.Membership.role == "owner", m.Membership.active)
        )
    assert left == 4 - outcomes.count("done") >= 1



# ---------------------------------------------------------------- the provider's own people


def test_only_a_platform_admin_makes_staff_and_never_themselves(people: People, app_context: None) -> None:
    admin, clerk = officer_who_is("platform_admin"), officer_who_is("back_office")
    target = factories.make_user()
    with transaction():
        enrolling.set_staff_role(admin, session.merge(target), "back_office", "joined the team")
    assert session.scalar(select(m.User.staff_role).where(m.User.id == target.id)) == "back_office"
    with pytest.raises(NotAllowed), transaction():
        enrolling.set_staff_role(clerk, session.merge(target), "platform_admin", "promotion")
    own = session.scalar(select(m.User).where(m.User.id == admin.user_id))
    with pytest.raises(NotAllowed), transaction():
        enrolling.set_staff_role(admin, own, None, "leaving")
    with pytest.raises(Invalid), transaction():
        enrolling.set_staff_role(admin, session.merge(target), "owner", "joined the team")


def test_two_platform_admins_who_remove_each_other_at_once_leave_one(app: Flask) -> None:
    with app.app_context():
        first, second = officer_who_is("platform_admin"), officer_who_is("platform_admin")
    begin, outcomes = threading.Barrier(2), []

    def remove(mine: Actor, other: Actor) -> None:
        with app.app_context():
            user = session.scalar(select(m.User).where(m.User.id == other.user_id))
            session.rollback()
            begin.wait()
            try:
                with transaction():
                    enrolling.set_staff_role(mine, user, None, "gone")
                outcomes.append("done")
            except WhatalkerError:
                outcomes.append("refused")

    threads = [threading.Thread(target=remove, args=pair) for pair in ((first, second), (second, first))]
    [thread.start() for thread in threads]
    [thread.join(20) for thread in threads]
    assert sorted(outcomes) == ["done", "refused"]



def test_an_admin_signs_a_member_out_of_every_browser_and_nobody_above_or_elsewhere(people: People, app_context: None) -> None:
    admin = member_of(people, "admin")
    with transaction():
        for actor in (people.agent, people.agent, people.owner, people.stranger):
            session.add(m.UserSession(user_id=actor.user_id, token_hash=new_id().hex))
    with acting(admin):
        assert enrolling.end_sessions(admin, membership_of(people.agent)) == 2
    for other, refusal in ((people.owner, NotAllowed), (people.stranger, NotFound)):
        with pytest.raises(refusal), acting(admin):
            enrolling.end_sessions(admin, membership_of(other))
    assert session.scalar(select(func.count()).select_from(m.UserSession).where(m.UserSession.revoked_at.is_(None))) == 2
    assert audited() == ["member.signed_out"]


def test_every_change_of_access_tells_the_open_pages(app: Flask, people: People) -> None:
    with app.app_context():
        with acting(people.owner):
            enrolling.change_role(people.owner, membership_of(people.agent), role="viewer")
        told = app.extensions["redis"].xrange(f"live:{people.organization.id}")
    assert [entry[1][b"event"] for entry in told] == [b"access.changed"]
    assert told[0][1][b"user_id"] == str(people.agent.user_id).encode()
