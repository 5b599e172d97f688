"""Two organizations with one of everything in each; every text of one holds its canary, which nobody of the other may ever read."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask

from tests import factories as f
from whatalker import access
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import Model, new_id, now, session, transaction
from whatalker.policies import Facts, decide
from whatalker.services import auditing
from whatalker.tenancy import as_organization


@dataclass
class House:
    """An organization and the id of its row of each model."""

    organization: m.Organization
    canary: str
    owner: Actor
    rows: dict[type[Model], uuid.UUID]


@dataclass
class World:
    ours: House
    theirs: House
    platform: Actor
    call: uuid.UUID


def make_house(canary: str) -> House:
    organization = f.make_organization(name=f"Org {canary}")
    owner = f.make_member(organization, "owner", name=f"Owner {canary}")
    team = f.make_team(organization, name=f"Team {canary}")
    account = f.make_channel_account(organization, name=f"Number {canary}", team_id=team.id)
    contact = f.make_contact(organization, name=f"Contact {canary}")
    conversation = f.make_conversation(
        organization,
        contact=contact,
        channel_account=account,
        last_preview=f"Preview {canary}",
        assignee_id=owner.user_id,
    )
    message = f.make_message(conversation, text=f"Text {canary}", content={"text": f"Text {canary}"})
    template = f.make_template(
        organization, account, name=f"template_{canary}", components=[{"type": "BODY", "text": canary}]
    )
    decision = _decision(organization, message, canary)
    common = {"organization_id": organization.id}
    more: list[Any] = [
        m.Label(**common, name=f"Label {canary}"),
        m.CannedReply(**common, shortcut=f"reply-{canary}", text=f"Reply {canary}"),
        m.Role(**common, name=f"Role {canary}", rank=20, permissions=["inbox:open"]),
        m.AccountNotice(
            **common,
            channel_account_id=account.id,
            event_key=canary,
            field=f"field {canary}",
            payload={"a": canary},
            at=now(),
        ),
    ]
    with transaction(), as_organization(organization.id):
        session.add_all(more)
        auditing.record(owner, f"audit.{canary}", team, reason=canary, diff={"name": [None, canary]})
        session.flush()
        line = session.query(m.AuditEvent).filter_by(organization_id=organization.id).first()
    rows = {
        type(row): row.id for row in (team, account, contact, conversation, message, template, decision, line, *more)
    }
    rows |= {m.Organization: organization.id, m.Membership: owner.membership_id}
    return House(organization, canary, owner, rows)


def _decision(organization: m.Organization, message: m.Message, canary: str) -> m.SendDecision:
    facts = Facts(at=now(), recipient="573001234567", window_expires_at=now() + timedelta(hours=1))
    answer = decide(facts)
    decision = m.SendDecision(
        organization_id=organization.id, message_id=message.id, verdict=answer.verdict, code=answer.code,
        sentence=f"Sentence {canary}", facts=facts.to_json(), trace_hash=answer.trace_hash,
        engine_version=answer.engine_version, decided_at=facts.at,
    )  # fmt: skip
    with transaction(), as_organization(organization.id):
        session.add(decision)
        session.flush()
    return decision


def make_world(app: Flask) -> World:
    with app.app_context():
        ours, theirs = make_house("canaryours"), make_house("canarytheirs")
        user = f.make_user(
            staff_role="platform_admin", name="Platform", tf_primary_method="authenticator", tf_totp_secret="x",
            mf_recovery_codes=["a"],
        )  # fmt: skip
        call = m.WebhookCall(id=new_id(), provider="whatsapp", body=b'{"text": "canarytheirs"}')
        with transaction():
            session.add(call)
        return World(ours, theirs, access.staff(user, reason="test"), call.id)
