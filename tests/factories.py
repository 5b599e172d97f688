"""One function per model, valid by default: a test says only what it is about.

Rows are made inside `with transaction(), as_organization(…)` that each function opens itself, so a test can call them anywhere.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_security import hash_password

from whatalker import access, phones
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import new_id, now, session, transaction
from whatalker.tenancy import as_organization

_numbers = itertools.count(1)
PASSWORD = "correct horse battery staple"


def _add(row: Any, organization_id: uuid.UUID | None = None) -> Any:
    if organization_id is None:
        with transaction():
            session.add(row)
        return row
    with transaction(), as_organization(organization_id):
        session.add(row)
        session.flush()
    return row


def make_organization(**values: Any) -> m.Organization:
    number = next(_numbers)
    id = values.pop("id", None) or new_id()
    return _add(m.Organization(**{"id": id, "name": f"Organization {number}", "slug": f"org-{number}"} | values), id)


def make_user(**values: Any) -> m.User:
    number = next(_numbers)
    password = values.pop("password", PASSWORD)
    return _add(
        m.User(
            **{"email": f"person{number}@example.com", "name": f"Person {number}", "confirmed_at": now(),
               "fs_uniquifier": uuid.uuid4().hex, "password": hash_password(password) if password else None} | values
        )
    )  # fmt: skip


def make_membership(organization: m.Organization, user: m.User | None = None, **values: Any) -> m.Membership:
    user = user or make_user()
    if "role_id" not in values:
        values.setdefault("role", "agent")
    return _add(m.Membership(organization_id=organization.id, user_id=user.id, **values), organization.id)


def make_member(organization: m.Organization, role: str = "agent", teams: tuple[m.Team, ...] = (), **user: Any) -> Actor:
    """A person with this role, as the actor that services take."""
    person = make_user(**user)
    membership = make_membership(organization, person, role=role)
    for team in teams:
        _add(
            m.TeamMember(organization_id=organization.id, team_id=team.id, membership_id=membership.id), organization.id
        )
    return Actor(
        kind="user", name=str(person), user_id=person.id, organization_id=organization.id, membership_id=membership.id,
        role=role, rank=access.ROLES[role].rank, permissions=access.ROLES[role].permissions,
        team_ids=frozenset(team.id for team in teams),
    )  # fmt: skip


def make_team(organization: m.Organization, **values: Any) -> m.Team:
    return _add(
        m.Team(**{"organization_id": organization.id, "name": f"Team {next(_numbers)}"} | values), organization.id
    )


def make_channel_account(organization: m.Organization, **values: Any) -> m.ChannelAccount:
    number = next(_numbers)
    defaults = {
        "organization_id": organization.id, "channel": "whatsapp", "external_id": f"1065403522{number:05}",
        "business_id": f"1022901293{number:05}", "name": f"Number {number}", "display_number": f"+1 555 01{number:05}",
        "credentials": {"access_token": "test-token"},
    }  # fmt: skip
    return _add(m.ChannelAccount(**defaults | values), organization.id)


def make_contact(organization: m.Organization, phone: str | None = None, **values: Any) -> m.Contact:
    """A contact with one WhatsApp identity; `phone` are its digits."""
    number = next(_numbers)
    digits = phone or f"5730012{number:05}"
    contact = _add(
        m.Contact(**{"organization_id": organization.id, "name": f"Contact {number}", "name_folded": f"contact {number}"}
                  | values), organization.id,
    )  # fmt: skip
    _add(
        m.ContactIdentity(
            organization_id=organization.id, contact_id=contact.id, channel="whatsapp", wa_id=digits, phone=f"+{digits}",
            canonical=phones.canonical(digits), last_digits=digits[-4:],
        ), organization.id,
    )  # fmt: skip
    return contact


def identity_of(contact: m.Contact) -> m.ContactIdentity:
    with as_organization(contact.organization_id):
        return session.query(m.ContactIdentity).filter_by(contact_id=contact.id).one()


def make_conversation(organization: m.Organization, **values: Any) -> m.Conversation:
    """An open conversation whose window is open; contact and number are made when not given."""
    contact = values.pop("contact", None) or make_contact(organization)
    account = values.pop("channel_account", None) or make_channel_account(organization)
    moment = now()
    defaults = {
        "organization_id": organization.id, "contact_id": contact.id, "identity_id": identity_of(contact).id,
        "channel_account_id": account.id, "last_message_at": moment, "last_inbound_at": moment,
        "window_expires_at": moment + timedelta(hours=24), "waiting_since": moment,
    }  # fmt: skip
    return _add(m.Conversation(**defaults | values), organization.id)


def make_message(conversation: m.Conversation, direction: str = "in", **values: Any) -> m.Message:
    number = next(_numbers)
    defaults = {
        "organization_id": conversation.organization_id, "conversation_id": conversation.id,
        "contact_id": conversation.contact_id, "channel_account_id": conversation.channel_account_id,
        "direction": direction, "kind": "text", "content": {"text": f"Hello {number}"}, "text": f"Hello {number}",
        "status": "received" if direction == "in" else "queued",
        "author_kind": "contact" if direction == "in" else "agent",
        "provider_id": f"wamid.TEST{number}" if direction == "in" else None,
    }  # fmt: skip
    return _add(m.Message(**defaults | values), conversation.organization_id)


def make_template(organization: m.Organization, account: m.ChannelAccount, **values: Any) -> m.Template:
    defaults = {
        "organization_id": organization.id, "business_id": account.business_id, "name": f"template_{next(_numbers)}",
        "language": "en_US", "category": "UTILITY", "status": "APPROVED",
        "components": [{"type": "BODY", "text": "Hello {{1}}, your order is ready.",
                        "example": {"body_text": [["Ana"]]}}],
    }  # fmt: skip
    return _add(m.Template(**defaults | values), organization.id)


@dataclass
class People:
    """Four people with known rights: an agent, a supervisor, a stranger from another organization, a compliance officer."""

    organization: m.Organization
    team: m.Team
    agent: Actor
    supervisor: Actor
    owner: Actor
    elsewhere: m.Organization
    stranger: Actor
    compliance: Actor


def make_people() -> People:
    organization, elsewhere = make_organization(), make_organization()
    team = make_team(organization)
    officer = make_user(staff_role="compliance_officer", name="Officer")
    return People(
        organization=organization,
        team=team,
        agent=make_member(organization, "agent", (team,), name="Agent"),
        supervisor=make_member(organization, "team_lead", (team,), name="Supervisor"),
        owner=make_member(organization, "owner", name="Owner"),
        elsewhere=elsewhere,
        stranger=make_member(elsewhere, "owner", name="Stranger"),
        compliance=access.staff(officer, reason="test"),
    )


def moments_ago(**ago: float) -> datetime:
    return now() - timedelta(**ago)
