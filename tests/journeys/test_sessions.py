"""Signed-in browsers: listed, ended by whoever may, and ended by time; and what staff may see, for which reason and how long."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select, update

from tests import factories
from tests.factories import People
from tests.visiting import visit
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import now, session, transaction
from whatalker.security import browsers
from whatalker.tenancy import across, as_organization

REASON = "ticket 4711: a message is missing"


@pytest.fixture
def officer(app: Flask) -> m.User:
    """A compliance officer whose second factor is set up."""
    with app.app_context():
        return factories.make_user(
            staff_role="compliance_officer", tf_totp_secret="set", tf_primary_method="authenticator",
            mf_recovery_codes=["hash"],
        )  # fmt: skip


def _is_in(client) -> bool:
    return client.get("/account/").status_code == 200


def test_the_page_lists_this_persons_browsers_and_no_others(app: Flask, people: People) -> None:
    mine = visit(app, people.agent, agent="Firefox on my desk")
    visit(app, people.agent, agent="Phone in my pocket", ip="198.51.100.7")
    visit(app, people.supervisor, agent="Somebody elses machine")
    page = mine.get("/account/sessions").text
    assert "Firefox on my desk" in page and "Phone in my pocket" in page and "198.51.100.7" in page
    assert "Somebody elses" not in page


def test_a_person_signs_one_browser_out(app: Flask, people: People) -> None:
    here, there = visit(app, people.agent), visit(app, people.agent, agent="There")
    address = re.search(r'action="(/account/sessions/[0-9a-f-]+/end)"', here.get("/account/sessions").text)[1]
    assert here.post(address).status_code == 303
    assert _is_in(here) and not _is_in(there)
    assert here.post(address).status_code == 404


def test_a_person_signs_all_other_browsers_out(app: Flask, people: People) -> None:
    here, *others = [visit(app, people.agent) for _ in range(3)]
    colleague = visit(app, people.supervisor)
    here.post("/account/sessions/end-others")
    assert _is_in(here) and _is_in(colleague) and not any(_is_in(other) for other in others)


def test_nobody_signs_somebody_else_out(app: Flask, people: People) -> None:
    victim = visit(app, people.agent)
    with app.app_context():
        id = session.scalar(select(m.UserSession.id).where(m.UserSession.user_id == people.agent.user_id))
    assert visit(app, people.stranger).post(f"/account/sessions/{id}/end").status_code == 404
    assert _is_in(victim)


@pytest.mark.parametrize(("unused", "still"), [(browsers.IDLE - timedelta(minutes=5), True), (browsers.IDLE + timedelta(minutes=5), False)])
def test_a_browser_left_alone_is_signed_out(app: Flask, people: People, unused: timedelta, still: bool) -> None:
    client = visit(app, people.agent)
    with time_machine.travel(now() + unused, tick=True):
        assert _is_in(client) is still


def test_a_browser_in_use_is_signed_out_in_the_end(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    begun = now()
    for half_days in range(1, 28):
        with time_machine.travel(begun + timedelta(hours=11) * half_days, tick=True):
            assert _is_in(client)
    with time_machine.travel(begun + browsers.ABSOLUTE + timedelta(minutes=1), tick=True):
        assert not _is_in(client)


def test_the_providers_own_people_are_signed_out_sooner(app: Flask, officer: m.User) -> None:
    client = visit(app, officer)
    with time_machine.travel(now() + browsers.STAFF_IDLE + timedelta(minutes=1), tick=True):
        assert not _is_in(client)


def test_last_seen_is_written_once_a_minute_at_most(app: Flask, people: People, owner_connection) -> None:
    client = visit(app, people.agent)
    seen = "select last_seen_at from user_session"
    before = owner_connection.execute(seen).fetchone()
    for _ in range(3):
        client.get("/account/")
    assert owner_connection.execute(seen).fetchone() == before
    with time_machine.travel(now() + timedelta(minutes=2), tick=True):
        client.get("/account/")
        assert owner_connection.execute(seen).fetchone() > before


def test_an_account_that_is_switched_off_is_out_at_once(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    with app.app_context(), transaction():
        session.execute(update(m.User).where(m.User.id == people.agent.user_id).values(active=False))
    assert not _is_in(client)


def test_a_membership_that_is_ended_opens_nothing_of_the_organization(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    assert client.get("/inbox", follow_redirects=True).status_code == 200
    with app.app_context(), transaction(), as_organization(people.organization.id):
        session.execute(update(m.Membership).where(m.Membership.id == people.agent.membership_id).values(active=False))
    assert client.get("/inbox").status_code == 403
    assert _is_in(client)


def test_a_person_of_two_organizations_sees_one_at_a_time(app: Flask, people: People) -> None:
    with app.app_context():
        factories.make_membership(people.elsewhere, _user(people.agent), role="owner")
    client = visit(app, people.agent)
    page = client.get("/account/").text
    assert people.organization.name in page and people.elsewhere.name in page
    assert client.post("/account/organization", data={"organization_id": str(people.elsewhere.id)}).status_code == 303
    assert client.get("/").location == "/inbox"
    with app.app_context():
        row = session.scalar(select(m.UserSession).where(m.UserSession.user_id == people.agent.user_id))
        assert row.organization_id_chosen == people.elsewhere.id


def _user(actor: Actor) -> m.User:
    return session.scalar(select(m.User).where(m.User.id == actor.user_id))


def test_an_organization_one_does_not_belong_to_cannot_be_chosen(app: Flask, people: People) -> None:
    client = visit(app, people.agent)
    for id in (str(people.elsewhere.id), "nonsense", ""):
        assert client.post("/account/organization", data={"organization_id": id}).status_code == 404


def test_a_chosen_organization_one_was_thrown_out_of_is_left(app: Flask, people: People) -> None:
    client = visit(app, people.agent, organization_id_chosen=people.elsewhere.id)
    assert client.get("/inbox", follow_redirects=True).status_code == 200
    with app.app_context():
        row = session.scalar(select(m.UserSession).where(m.UserSession.user_id == people.agent.user_id))
        assert row.organization_id_chosen == people.organization.id


# ---------------------------------------------------------------- staff


def test_staff_without_a_reason_are_sent_to_state_one(app: Flask, officer: m.User) -> None:
    client = visit(app, officer)
    assert client.get("/admin/").location == "/account/reading?next=/admin/"
    answer = client.get("/admin/", headers={"Accept": "application/json"})
    assert answer.status_code == 403 and answer.json["error"]["code"] == "reason_needed"


def test_a_reason_opens_reading_for_an_hour_and_the_audit_has_both_ends(app: Flask, officer: m.User) -> None:
    client = visit(app, officer)
    assert client.post("/account/reading", data={"reason": REASON, "next": "/admin/"}).location == "/admin/"
    assert client.get("/admin/").status_code == 200
    assert REASON in client.get("/account/").text
    client.post("/account/reading/stop")
    assert client.get("/admin/").status_code == 303
    with app.app_context(), across("test"):
        lines = session.execute(select(m.AuditEvent.action, m.AuditEvent.reason).order_by(m.AuditEvent.id)).all()
    assert lines == [("reading.begun", REASON), ("reading.ended", REASON)]


def test_reading_ends_by_itself(app: Flask, officer: m.User) -> None:
    client = visit(app, officer)
    client.post("/account/reading", data={"reason": REASON})
    with time_machine.travel(now() + timedelta(minutes=59), tick=True):
        assert client.get("/admin/").status_code == 200
    with time_machine.travel(now() + timedelta(minutes=61), tick=True):
        assert client.get("/admin/").location.startswith("/account/reading")


def test_reading_one_organization_is_told_in_its_own_audit(app: Flask, officer: m.User, people: People) -> None:
    visit(app, officer).post("/account/reading", data={"reason": REASON, "organization_id": str(people.organization.id)})
    with app.app_context(), as_organization(people.organization.id):
        assert session.scalars(select(m.AuditEvent.action)).all() == ["reading.begun"]
    with app.app_context(), as_organization(people.elsewhere.id):
        assert session.scalar(select(func.count()).select_from(m.AuditEvent)) == 0


@pytest.mark.parametrize("form", [{"reason": "x"}, {"reason": "   "}, {}, {"reason": REASON, "organization_id": "nonsense"}])
def test_a_reason_that_says_nothing_is_refused(app: Flask, officer: m.User, form: dict[str, str]) -> None:
    assert visit(app, officer).post("/account/reading", data=form).status_code == 422


def test_an_organization_that_does_not_exist_cannot_be_read(app: Flask, officer: m.User) -> None:
    form = {"reason": REASON, "organization_id": "01a20000-0000-7000-8000-000000000000"}
    assert visit(app, officer).post("/account/reading", data=form).status_code == 404


def test_members_cannot_read_across(app: Flask, people: People) -> None:
    client = visit(app, people.owner)
    assert client.get("/account/reading").status_code == 403
    assert client.post("/account/reading", data={"reason": REASON}).status_code == 403
    with app.app_context():
        assert session.scalar(select(m.UserSession.reason)) == ""


def test_beginning_to_read_asks_for_the_password_again_after_a_while(app: Flask, officer: m.User) -> None:
    client = visit(app, officer)
    with client.session_transaction() as cookie:
        cookie["fs_paa"] -= 3600
    assert client.post("/account/reading", data={"reason": REASON}).location.startswith("/verify?next=")
