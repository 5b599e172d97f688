"""The provider's own people in the admin, and what is shown only after a reason or a click that is kept."""

from __future__ import annotations

import uuid

from flask import Flask

from tests import factories as f
from tests.admin.test_admin_vectors import view_of
from tests.admin.worlds import World
from tests.visiting import visit
from whatalker import admin
from whatalker import models as m
from whatalker.db import session
from whatalker.errors import Invalid
from whatalker.tenancy import across


def test_staff_without_a_reason_see_nothing(app: Flask, new_world: World) -> None:
    client = visit(app, new_world.platform)
    for screen in admin.screens():
        answer = client.get(f"/admin/{screen.address}/")
        assert answer.status_code in (303, 403) and "canary" not in answer.get_data(as_text=True)
    assert client.get("/admin/").location.startswith("/account/reading")


def test_staff_state_a_reason_read_all_and_the_reading_is_audited(app: Flask, new_world: World) -> None:
    client = visit(app, new_world.platform)
    assert client.post("/account/reading", data={"reason": "Ticket 4711, numbers do not send"}).status_code in (
        302,
        303,
    )
    page = client.get("/admin/connections/").get_data(as_text=True)
    assert "canaryours" in page and "canarytheirs" in page and "Ticket 4711" in page
    assert "Connect a number" not in page and client.get("/admin/connections/new/").status_code == 403
    assert client.get("/admin/messages/").status_code == 403
    with app.app_context(), across("test"):
        line = session.query(m.AuditEvent).filter_by(action="reading.begun").one()
        assert line.reason == "Ticket 4711, numbers do not send"
    client.post("/account/reading/stop")
    assert client.get("/admin/connections/").status_code == 303


def test_staff_who_chose_one_organization_see_only_that_one(app: Flask, new_world: World) -> None:
    client = visit(app, new_world.platform, reason="Ticket 4711", organization_id_chosen=new_world.ours.organization.id)
    for address in ("connections", "organizations", "teams", "templates", "audit"):
        page = client.get(f"/admin/{address}/").get_data(as_text=True)
        assert "canaryours" in page or address == "organizations"
        if address != "organizations":
            assert "canarytheirs" not in page


def test_the_text_of_messages_is_private_to_the_providers_people(app: Flask, new_world: World) -> None:
    with app.app_context():
        officer = f.make_user(
            staff_role="compliance_officer",
            tf_primary_method="authenticator",
            tf_totp_secret="x",
            mf_recovery_codes=["a"],
        )
    client = visit(app, officer, reason="Complaint 12")
    for url in ("messages/", "conversations/", f"messages/details/?id={new_world.ours.rows[m.Message]}"):
        page = client.get(f"/admin/{url}").get_data(as_text=True)
        assert "break-glass" in page and "Text canary" not in page and "Preview canary" not in page
    assert "Text canaryours" in visit(app, new_world.ours.owner).get("/admin/messages/").get_data(as_text=True)


def test_a_platform_admin_suspends_and_reinstates_with_a_reason_that_is_kept(app: Flask, new_world: World) -> None:
    client, id = visit(app, new_world.platform, reason="Ticket 4711"), str(new_world.ours.organization.id)
    client.post("/admin/organizations/standing/", data={"id": id, "reason": "short"})
    client.post("/admin/organizations/standing/", data={"id": id, "reason": "Spam to 400 people", "days": "7"})
    with app.app_context(), across("test"):
        found = session.query(m.Organization).filter_by(id=uuid.UUID(id)).one()
        assert (found.standing, found.standing_reason) == ("suspended", "Spam to 400 people") and found.standing_until
    client.post("/admin/organizations/standing/", data={"id": id, "reason": "Appeal was granted"})
    with app.app_context(), across("test"):
        assert session.query(m.Organization).filter_by(id=uuid.UUID(id)).one().standing == "active"
        actions = {line.action: line.reason for line in session.query(m.AuditEvent)}
        assert actions["organization.suspended"] == "Spam to 400 people"
    owner = visit(app, new_world.ours.owner)
    assert owner.post("/admin/organizations/standing/", data={"id": id, "reason": "I do it myself"}).status_code == 403


def test_a_whole_number_is_shown_after_a_click_that_is_audited(app: Flask, new_world: World) -> None:
    client, id = visit(app, new_world.ours.owner), str(new_world.ours.rows[m.Contact])
    with app.app_context(), across("test"):
        number = session.query(m.ContactIdentity).filter_by(contact_id=uuid.UUID(id)).one().phone
    for url in ("contacts/", f"contacts/details/?id={id}", "contacts/export/csv/", "decisions/"):
        assert number not in client.get(f"/admin/{url}").get_data(as_text=True)
    assert number in client.post("/admin/contacts/reveal/", data={"id": id}).get_data(as_text=True)
    with app.app_context(), across("test"):
        assert session.query(m.AuditEvent).filter_by(action="contact.revealed", object_id=id).count() == 1
    assert visit(app, new_world.theirs.owner).post("/admin/contacts/reveal/", data={"id": id}).status_code == 404


def test_a_decision_shows_its_whole_trace_and_that_its_hash_holds(
    app: Flask, new_world: World, owner_connection
) -> None:
    client, id = visit(app, new_world.ours.owner), new_world.ours.rows[m.SendDecision]
    page = client.get(f"/admin/decisions/details/?id={id}").get_data(as_text=True)
    assert "has the stored hash" in page and "standing" in page and "573001234567" not in page
    owner_connection.execute("alter table send_decision disable trigger append_only")
    owner_connection.execute("update send_decision set trace_hash = repeat('0', 64)")
    owner_connection.execute("alter table send_decision enable trigger append_only")
    assert "another hash" in client.get(f"/admin/decisions/details/?id={id}").get_data(as_text=True)


def test_a_new_person_gets_their_letter_after_the_commit(app: Flask, new_world: World) -> None:
    from whatalker.mail import mail

    client = visit(app, new_world.ours.owner)
    with app.app_context(), mail.record_messages() as letters:
        answer = client.post("/admin/users/new/", data={"email": "new@example.com", "name": "New", "role": "agent"})
        assert answer.status_code == 302, answer.get_data(as_text=True)
        assert [letter.recipients for letter in letters] == [["new@example.com"]]
        refused = client.post("/admin/users/new/", data={"email": "new@example.com", "role": "agent"})
        assert refused.status_code == 409 and len(letters) == 1


def test_an_error_raised_on_purpose_is_a_sentence(app: Flask) -> None:
    with app.test_request_context():
        from flask import get_flashed_messages

        def refuse() -> None:
            raise Invalid("Say why.")

        assert view_of(app, "labels").attempt(refuse) is None
        assert get_flashed_messages() == ["Say why."]
