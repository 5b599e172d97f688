"""What the tests of access share: acting as somebody, and reading what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select

from tests import factories
from tests.factories import People
from whatalker import access
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import session, transaction
from whatalker.tenancy import across, as_organization


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """One transaction in the actor's own scope, as a face opens it."""
    assert actor.organization_id
    with transaction(), as_organization(actor.organization_id, actor.user_id):
        yield


def membership_of(actor: Actor) -> m.Membership:
    with as_organization(actor.organization_id):
        return session.scalar(select(m.Membership).where(m.Membership.user_id == actor.user_id))


def member_of(people: People, role: str) -> Actor:
    return factories.make_member(people.organization, role)


def officer_who_is(role: str) -> Actor:
    user = factories.make_user(staff_role=role)
    return access.staff(user, reason="a test")


def audited() -> list[str]:
    with across("test"):
        return list(session.scalars(select(m.AuditEvent.action).order_by(m.AuditEvent.at, m.AuditEvent.id)))
