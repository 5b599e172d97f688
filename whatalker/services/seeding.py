"""The demo that scripts/run starts with: two organizations, people of every role, a number; its one rule: never in production."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from flask import current_app
from flask_security import hash_password
from sqlalchemy import select

from whatalker import access
from whatalker.access import Actor
from whatalker.channels import NumberHealth
from whatalker.db import new_id, now, session
from whatalker.errors import Invalid
from whatalker.models import Membership, Organization, Team, User
from whatalker.services import chartering, connecting, enrolling, equipping, staffing
from whatalker.tenancy import across, as_organization, as_user

STAFF = {
    "platform_admin": "Paula Platform",
    "back_office": "Bruno Backoffice",
    "compliance_officer": "Carla Compliance",
}
MEMBERS = {
    "admin": ("Adam Admin", "admin", "Support"),
    "team_lead": ("Tina Teamlead", "team_lead", "Support"),
    "agent": ("Ana Agent", "agent", "Support"),
    "agent_other_team": ("Otto Other", "agent", "Sales"),
    "developer": ("Dev Developer", "developer", ""),
    "viewer": ("Vera Viewer", "viewer", "Support"),
}
"""Sign-in: name, role, team."""
CANNED = {
    "hello": "Hello! How can I help you today?",
    "hours": "We answer from Monday to Friday, 9:00 to 18:00.",
    "thanks": "Thank you for writing to us. Have a good day!",
}
LABELS = {"Order": "blue", "Complaint": "red", "VIP": "purple"}


def seed_demo(settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Make what is missing of the demo and answer who may sign in, by role; again it changes nothing.

    `settings` are password, totp_secret, access_token, phone_number_id, waba_id and display_phone_number.
    """
    if current_app.config["ENVIRONMENT"] == "production":
        raise Invalid(
            "The demo has people whose password is written down; it is never put into production.", "no_demo_here"
        )
    sign_ins = _sign_ins(settings)
    with across("demo: is it there already?"):
        there = session.scalar(select(Organization.id).where(Organization.slug == "acme"))
    if there is None:
        maker = _make_staff(sign_ins)
        _make_acme(maker, settings, sign_ins)
        stranger = sign_ins["stranger"]["email"]
        other, _, _ = chartering.create_organization(
            maker, name="Borealis Books", slug="borealis", owner_email=stranger, owner_name="Stella Stranger"
        )
        _let_in(other.id, [stranger], settings["password"])
    return sign_ins


def _sign_ins(settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
    homes = {
        "owner": "acme",
        **dict.fromkeys(MEMBERS, "acme"),
        **dict.fromkeys(STAFF, "whatalker"),
        "stranger": "borealis",
    }
    found = {
        role: {"email": f"{role.replace('_', '.')}@{home}.example", "password": settings["password"]}
        for role, home in homes.items()
    }
    for role in STAFF:
        found[role]["totp_secret"] = settings["totp_secret"]
    return found


def _make_staff(sign_ins: Mapping[str, Mapping[str, str]]) -> Actor:
    """The provider's own people, who cannot do without a second factor; answers the one who may make organizations."""
    # Flask-Security only makes new secrets; this is the way it stores them, for one that is known.
    security: Any = current_app.extensions["security"]
    factory = security._totp_factory
    made = {}
    for role, name in STAFF.items():
        sign_in = sign_ins[role]
        made[role] = User(
            id=new_id(), email=sign_in["email"], name=name, staff_role=role, fs_uniquifier=uuid.uuid4().hex,
            confirmed_at=now(), password=hash_password(sign_in["password"]), tf_primary_method="authenticator",
            tf_totp_secret=factory._totp(key=sign_in["totp_secret"]).to_json(encrypt=True),
        )  # fmt: skip
        with as_user(made[role].id):
            session.add(made[role])
            # They have their recovery codes already, so that the first sign-in leads to the page that was asked for.
            security._mf_recovery_codes_util.create_recovery_codes(made[role])
            session.flush()
    return access.staff(made["platform_admin"], reason="demo")


def _make_acme(maker: Actor, settings: Mapping[str, str], sign_ins: Mapping[str, Mapping[str, str]]) -> None:
    organization, _, _ = chartering.create_organization(
        maker, name="Acme Outfitters", slug="acme", owner_email=sign_ins["owner"]["email"], owner_name="Olivia Owner"
    )
    with as_organization(organization.id):
        actor = access.system("demo", organization.id)
        teams = {name: staffing.create_team(actor, name) for name in ("Support", "Sales")}
        session.flush()
        for key, (name, role, team) in MEMBERS.items():
            team_ids = [teams[team].id] if team else []
            enrolling.add_person(actor, sign_ins[key]["email"], name=name, role=role, team_ids=team_ids)
        for name, colour in LABELS.items():
            equipping.create_label(actor, name=name, colour=colour)
        for shortcut, text in CANNED.items():
            equipping.create_canned_reply(actor, shortcut=shortcut, text=text)
        _connect(actor, teams["Support"], settings)
    _let_in(organization.id, [sign_ins[key]["email"] for key in ("owner", *MEMBERS)], settings["password"])


def _connect(actor: Actor, team: Team, settings: Mapping[str, str]) -> None:
    """The sandbox's number; its templates are fetched by a job once everything runs."""
    assert actor.organization_id is not None
    sender = connecting.make_sender(
        actor.organization_id,
        settings["phone_number_id"],
        settings["waba_id"],
        {"access_token": settings["access_token"]},
    )
    health = NumberHealth(
        external_id=settings["phone_number_id"], display_phone=settings["display_phone_number"],
        verified_name="Acme Outfitters", quality="GREEN", status="CONNECTED", limit=None, limit_tier=None,
        name_status="APPROVED", raw={},
    )  # fmt: skip
    connecting.connect_number(actor, sender, health, team_id=team.id)


def _let_in(organization_id: uuid.UUID, emails: Iterable[str], password: str) -> None:
    """Give them the demo's password, which real people choose by the link in their letter."""
    with as_organization(organization_id):
        members = select(User).join(Membership, Membership.user_id == User.id).where(User.email.in_(list(emails)))
        for user in session.scalars(members):
            user.password, user.confirmed_at = hash_password(password), now()
        session.flush()
