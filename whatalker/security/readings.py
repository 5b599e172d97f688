"""What a signed-in person chooses to look at: an organization of theirs, or for staff, with a stated reason, customers' data.

Its one rule: the provider's own people read nothing without a reason, for an hour at most, and both moments are in the audit.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from flask import g
from flask_babel import gettext as _
from sqlalchemy import select

from whatalker.access import Actor, staff
from whatalker.db import now, session, transaction
from whatalker.errors import Invalid, NotAllowed, NotFound
from whatalker.models import Membership, Organization, User, UserSession
from whatalker.services import auditing
from whatalker.tenancy import as_organization, as_user

READING = timedelta(minutes=60)
SHORTEST_REASON, LONGEST_REASON = 8, 500


def signed_in_user() -> User:
    """The person behind this request; NotAllowed on a public address."""
    user = getattr(g, "user", None)
    if not isinstance(user, User):
        raise NotAllowed(_("Sign in first."), "signed_out")
    return user


def signed_in_browser() -> UserSession:
    signed_in_user()
    return g.browser  # type: ignore[no-any-return]


def organizations_of(user: User) -> Sequence[Organization]:
    """The organizations this person may enter, by name."""
    with as_user(user.id):
        return session.scalars(
            select(Organization)
            .join(Membership, Membership.organization_id == Organization.id)
            .where(Membership.user_id == user.id, Membership.active)
            .order_by(Organization.name)
        ).all()


def choose_organization(organization_id: str) -> Organization:
    """Look at this organization from the next request on; NotFound unless the person belongs to it."""
    user, browser = signed_in_user(), signed_in_browser()
    for organization in organizations_of(user):
        if str(organization.id) == organization_id:
            with transaction():
                browser.organization_id_chosen = organization.id
            return organization
    raise NotFound(_("You do not belong to this organization."))


def begin_reading(reason: str, organization_id: uuid.UUID | None = None) -> None:
    """Staff may read, for an hour, all organizations or the one given; the reason goes into the audit of whom it concerns.

    Counts from the next request on. Invalid when the reason says nothing, NotFound when there is no such organization.
    """
    user, browser, reason = signed_in_user(), signed_in_browser(), " ".join(reason.split())
    if not user.staff_role:
        raise NotAllowed(_("Only the provider's own people read across organizations."))
    if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        raise Invalid(
            _(
                "Say in %(shortest)s to %(longest)s characters why you need to read customers' data; they can see it.",
                shortest=SHORTEST_REASON, longest=LONGEST_REASON,
            ),
            "reason_too_short",
        )
    if organization_id is not None:
        _find(organization_id)
    with transaction():
        browser.reason, browser.reason_until = reason, now() + READING
        browser.organization_id_chosen = organization_id
        _record("reading.begun", user, organization_id, reason)


def end_reading() -> None:
    """Stop reading; harmless when nothing is being read."""
    user, browser = signed_in_user(), signed_in_browser()
    if not (user.staff_role and browser.reason):
        return
    with transaction():
        _record("reading.ended", user, browser.organization_id_chosen, browser.reason)
        browser.reason, browser.reason_until, browser.organization_id_chosen = "", None, None


def _find(organization_id: uuid.UUID) -> Organization:
    with as_organization(organization_id):
        found = session.scalar(select(Organization).where(Organization.id == organization_id))
    if found is None:
        raise NotFound(_("There is no such organization."))
    return found


def _record(action: str, user: User, organization_id: uuid.UUID | None, reason: str) -> None:
    """In the audit of the one organization it concerns, so that its owner sees it; else in the provider's own."""
    known: Actor = g.actor
    who = staff(user, organization_id, reason, request_id=known.request_id, ip=known.ip)
    scope = as_organization(organization_id, user.id) if organization_id else as_user(user.id)
    browser = signed_in_browser()
    until = browser.reason_until.isoformat() if browser.reason_until else ""
    with scope:
        auditing.record(who, action, browser, reason=reason, diff={"until": [None, until]})
        session.flush()
