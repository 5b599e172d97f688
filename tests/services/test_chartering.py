"""Organizations: made by the provider with a first owner, suspended with a reason, never by themselves."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import select

from tests.factories import People
from tests.services.rights import acting, officer_who_is
from whatalker import access
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.services import chartering
from whatalker.tenancy import across, as_organization

# ---------------------------------------------------------------- organizations and staff


def _form(**more: str) -> dict[str, str]:
    return {"name": "Acme", "slug": f"acme-{uuid.uuid4().hex[:8]}", "owner_email": "owner@acme.example"} | more


def test_the_back_office_makes_an_organization_with_its_first_owner(app_context: None) -> None:
    officer = officer_who_is("back_office")
    with transaction():
        organization, membership, is_new = chartering.create_organization(officer, **_form())
    assert is_new and (membership.role, membership.organization_id) == ("owner", organization.id)
    with as_organization(organization.id):
        lines = session.scalars(select(m.AuditEvent.action)).all()
    assert sorted(lines) == ["member.added", "organization.created"]
    with pytest.raises(Conflict), transaction():
        chartering.create_organization(officer, **_form(slug=organization.slug.upper()))


@pytest.mark.parametrize("bad", [{"slug": "a b"}, {"slug": ""}, {"country": "USA"}, {"time_zone": "Mars/Base"}, {"language": "xx"}, {"name": " "}])
def test_what_cannot_be_an_organization_is_refused(app_context: None, bad: dict[str, str]) -> None:
    with pytest.raises(Invalid), transaction():
        chartering.create_organization(officer_who_is("back_office"), **_form(**bad))


def test_members_make_no_organizations_and_change_no_standing(people: People, app_context: None) -> None:
    for change in (
        lambda: chartering.create_organization(people.owner, **_form()),
        lambda: chartering.suspend_organization(people.owner, people.organization, "because I can"),
        lambda: chartering.reinstate_organization(people.owner, people.organization, "because I can"),
        lambda: chartering.suspend_organization(access.system("job", people.organization.id), people.organization, "no"),
    ):
        with pytest.raises(NotAllowed), acting(people.owner):
            change()


@pytest.mark.parametrize("role", ["back_office", "compliance_officer", "platform_admin"])
def test_staff_suspend_and_reinstate_with_a_reason(people: People, app_context: None, role: str) -> None:
    officer = officer_who_is(role)
    with transaction(), across("a test", officer.user_id):
        chartering.suspend_organization(officer, people.organization, "Spam complaints, case 12")
    with as_organization(people.organization.id):
        found = session.scalar(select(m.Organization))
        assert (found.standing, found.standing_reason) == ("suspended", "Spam complaints, case 12")
    with pytest.raises(Invalid), transaction():
        chartering.reinstate_organization(officer, people.organization, "  ")
    with transaction():
        chartering.reinstate_organization(officer, people.organization, "Appeal granted")
    with across("test"):
        lines = session.execute(select(m.AuditEvent.action, m.AuditEvent.reason).order_by(m.AuditEvent.id)).all()
    assert lines == [("organization.suspended", "Spam complaints, case 12"), ("organization.reinstated", "Appeal granted")]


def test_an_organization_describes_itself_and_no_other(people: People, app_context: None) -> None:
    form = {"name": "New name", "country": "mx", "language": "es", "time_zone": "America/Mexico_City"}
    with acting(people.owner):
        mine = session.scalar(select(m.Organization))
        chartering.update_organization(people.owner, mine, **form)
    assert (mine.name, mine.country) == ("New name", "MX")
    with pytest.raises(NotFound), acting(people.owner):
        chartering.update_organization(people.owner, people.elsewhere, **form)
    with pytest.raises(NotAllowed), acting(people.supervisor):
        chartering.update_organization(people.supervisor, mine, **form)
