"""Organizations themselves: made, described, suspended and reinstated; its one rule: an organization never lifts its own suspension."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import available_timezones

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from whatalker.access import Actor, Permission, require
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound
from whatalker.events import Event, publish
from whatalker.language import LANGUAGES
from whatalker.models import Membership, Organization
from whatalker.services import auditing, enrolling
from whatalker.services.cleaning import an_email, one_line
from whatalker.tenancy import as_organization

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def create_organization(
    actor: Actor, *, name: str, slug: str, owner_email: str, owner_name: str = "", country: str = "US",
    language: str = "en", time_zone: str = "UTC",
) -> tuple[Organization, Membership, bool]:  # fmt: skip
    """A new organization with its first owner, who gets their letter from the face; the last answer: is the account new?

    Opens the new organization's scope itself, for nobody can be in it before. Conflict when the short name was ever used.
    """
    require(actor, Permission.ORGANIZATION_CREATE)
    id, slug = new_id(), slug.strip().lower()
    if not _SLUG.fullmatch(slug):
        raise Invalid(_("A short name has 1 to 40 small letters, digits and hyphens."), "invalid_slug")
    described = _described(name=name, country=country, language=language, time_zone=time_zone)
    user, is_new = enrolling.find_or_make_user(actor, an_email(owner_email), one_line(owner_name, "name", 120, may_be_empty=True))
    with as_organization(id, actor.user_id):
        organization = Organization(id=id, slug=slug, **described)
        try:
            with session.begin_nested():
                session.add(organization)
        except IntegrityError as error:
            raise Conflict(_("This short name is taken."), "slug_taken") from error
        membership = Membership(organization_id=id, user_id=user.id, role="owner")
        session.add(membership)
        session.flush()
        auditing.record(actor, "organization.created", organization, diff={key: [None, value] for key, value in described.items()})
        auditing.record(actor, "member.added", membership, diff={"role": [None, "owner"], "user_id": [None, str(user.id)]})
        session.flush()
    return organization, membership, is_new


def update_organization(
    actor: Actor, organization: Organization, *, name: str, country: str, language: str, time_zone: str
) -> Organization:
    """What an organization says about itself; its short name and its standing are not among it."""
    require(actor, Permission.ORGANIZATION_UPDATE)
    if organization.id != actor.organization_id:
        raise NotFound(_("There is no such organization."))
    for field, value in _described(name=name, country=country, language=language, time_zone=time_zone).items():
        setattr(organization, field, value)
    auditing.record(actor, "organization.updated", organization)
    return organization


def suspend_organization(
    actor: Actor, organization: Organization, reason: str, until: datetime | None = None
) -> Organization:
    """Stop everything it would send, from this commit on; it still receives, reads and exports. `until`: empty until reviewed."""
    if until is not None and until <= now():
        raise Invalid(_("The end of a suspension lies in the future."), "invalid_end")
    return _set_standing(actor, organization, "suspended", reason, until)


def reinstate_organization(actor: Actor, organization: Organization, reason: str) -> Organization:
    """Let it send again; why is in the audit for good."""
    return _set_standing(actor, organization, "active", reason, None)


def _set_standing(
    actor: Actor, organization: Organization, standing: str, reason: str, until: datetime | None
) -> Organization:
    require(actor, Permission.ORGANIZATION_ENFORCE)
    if actor.kind != "staff":
        raise NotAllowed(_("Only the provider changes the standing of an organization."))
    reason = one_line(reason, "reason", 500)
    with as_organization(organization.id, actor.user_id):
        found = session.scalar(
            select(Organization)
            .where(Organization.id == organization.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if found is None:
            raise NotFound(_("There is no such organization."))
        if found.standing == "cancelled":
            raise Conflict(_("A cancelled organization is not suspended or reinstated."), "cancelled")
        if (found.standing, found.standing_until) == (standing, until) and found.standing_reason == reason:
            return found
        found.standing, found.standing_until = standing, until
        found.standing_reason = reason if standing == "suspended" else ""
        done = "organization.suspended" if standing == "suspended" else "organization.reinstated"
        auditing.record(actor, done, found, reason=reason)
        publish(Event.ACCESS_CHANGED, found.id)
        session.flush()
    return found


def _described(*, name: str, country: str, language: str, time_zone: str) -> dict[str, str]:
    country = country.strip().upper()
    if not re.fullmatch("[A-Z]{2}", country):
        raise Invalid(_("A country is two letters, such as US or MX."), "invalid_country")
    if language not in LANGUAGES or time_zone not in available_timezones():
        raise Invalid(_("Choose a language and a time zone from the lists."), "invalid_choice")
    return {"name": one_line(name, "name", 120), "country": country, "language": language, "time_zone": time_zone}
