"""Labels and canned replies: who may change them, what a name may be, and that every change is in the audit."""

from __future__ import annotations

import pytest

from tests import factories as f
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import session, transaction
from whatalker.errors import Conflict, Invalid, NotAllowed
from whatalker.services import equipping
from whatalker.tenancy import as_organization


@pytest.fixture
def owner(app_context: None) -> Actor:
    return f.make_member(f.make_organization(), "owner")


def actions(actor: Actor) -> list[str]:
    with as_organization(actor.organization_id):
        return [line.action for line in session.query(m.AuditEvent).order_by(m.AuditEvent.at, m.AuditEvent.id)]


def test_a_label_is_made_changed_and_deleted_and_each_is_in_the_audit(owner: Actor) -> None:
    with transaction(), as_organization(owner.organization_id):
        label = equipping.create_label(owner, name="  Big   orders ", colour="green")
        assert label.name == "Big orders"
        equipping.change_label(owner, label, name="Big orders", colour="green")
        equipping.change_label(owner, label, name="Orders", colour="blue")
        equipping.delete_label(owner, label)
    with as_organization(owner.organization_id):
        assert session.query(m.Label).count() == 0
    assert actions(owner) == ["label.created", "label.changed", "label.deleted"]


def test_a_deleted_label_leaves_the_conversations_that_carried_it(owner: Actor) -> None:
    with as_organization(owner.organization_id):
        organization = session.query(m.Organization).one()
    conversation = f.make_conversation(organization)
    with transaction(), as_organization(owner.organization_id):
        label = equipping.create_label(owner, name="Refund")
        session.add(
            m.ConversationLabel(organization_id=organization.id, conversation_id=conversation.id, label_id=label.id)
        )
        session.flush()
        equipping.delete_label(owner, label)
    with as_organization(owner.organization_id):
        assert session.query(m.ConversationLabel).count() == 0 and session.query(m.Conversation).count() == 1


@pytest.mark.parametrize("name", ["", "   ", "x" * 41])
def test_a_label_needs_a_name(owner: Actor, name: str) -> None:
    with transaction(), as_organization(owner.organization_id), pytest.raises(Invalid):
        equipping.create_label(owner, name=name)


def test_a_name_is_taken_whatever_its_case(owner: Actor) -> None:
    with transaction(), as_organization(owner.organization_id):
        equipping.create_label(owner, name="Refund")
        with pytest.raises(Conflict):
            equipping.create_label(owner, name="REFUND")
        equipping.create_canned_reply(owner, shortcut="Hours", text="We open at 7.")
        with pytest.raises(Conflict):
            equipping.create_canned_reply(owner, shortcut="/hours", text="We open at 8.")


@pytest.mark.parametrize(
    ("shortcut", "text"), [("two words", "x"), ("", "x"), ("a/b", "x"), ("ok", " "), ("ok", "x" * 4097)]
)
def test_a_canned_reply_that_cannot_be_typed_or_sent_is_refused(owner: Actor, shortcut: str, text: str) -> None:
    with transaction(), as_organization(owner.organization_id), pytest.raises(Invalid):
        equipping.create_canned_reply(owner, shortcut=shortcut, text=text)


def test_agents_change_neither(owner: Actor) -> None:
    with as_organization(owner.organization_id):
        organization = session.query(m.Organization).one()
    agent = f.make_member(organization, "agent")
    with transaction(), as_organization(owner.organization_id):
        for forbidden in (
            lambda: equipping.create_label(agent, name="x"),
            lambda: equipping.create_canned_reply(agent, shortcut="x", text="x"),
        ):
            with pytest.raises(NotAllowed):
                forbidden()
