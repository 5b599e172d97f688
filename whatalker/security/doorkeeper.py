"""Before each request: who comes, whose rows they may see, and whether this door is theirs; its one rule: in doubt it stays shut.

The actor and the scope are made here and nowhere else. A member gets the rows of one organization; one of the provider's people
gets rows only while a reason they stated is current, and then read-only; everybody else gets none.
"""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from flask import Flask, Response, abort, current_app, g, redirect, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_security.utils import check_and_update_authn_fresh
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response as BaseResponse

from whatalker import tenancy
from whatalker.access import NOBODY, Actor, member, require, staff
from whatalker.db import now, session, transaction
from whatalker.errors import NotAllowed
from whatalker.models import Membership, TeamMember, User, UserSession
from whatalker.security import browsers
from whatalker.security.addresses import here, wants_page
from whatalker.security.guards import Guard, guard_of
from whatalker.tenancy import Scope

log = structlog.get_logger(__name__)


def init_app(app: Flask) -> None:
    app.before_request(_admit)
    app.teardown_request(_leave)


def _admit() -> BaseResponse | None:
    g.scope_before = tenancy.current()
    tenancy.leave()
    if request.routing_exception is not None or request.endpoint is None:
        return None  # there is no such address; the router's own 404 or 405 follows
    guard = guard_of(current_app, request.endpoint)
    if guard is None:
        log.error("address_without_guard", endpoint=request.endpoint)
    if guard is None or guard.kind == "closed":
        abort(404)
    if guard.kind == "public":
        return None
    return _let_in(guard)


def _let_in(guard: Guard) -> BaseResponse | None:
    if not current_user.is_authenticated:
        abort(401)
    browser, user = g.browser, current_user._get_current_object()
    if not guard.by_itself:
        browsers.mark_seen(browser)
    g.user, g.language, g.time_zone = user, user.language, user.time_zone
    g.actor, scope = _actor_and_scope(browser, user)
    if (step := unfinished_step(user)) and not guard.unfinished:
        return _send_to(step, NotAllowed(_("Finish setting up your second factor first."), "second_factor_needed"))
    if guard.fresh and not check_and_update_authn_fresh(
        current_app.config["SECURITY_FRESHNESS"], current_app.config["SECURITY_FRESHNESS_GRACE_PERIOD"], "session"
    ):
        return _send_to(
            url_for("security.verify", next=here()),
            NotAllowed(_("Give your password again before you do this."), "fresh_sign_in_needed"),
        )
    if guard.kind == "signed_in":
        tenancy.enter(Scope(user_id=user.id))
        return None
    tenancy.enter(scope)
    return _check_permissions(guard)


def _check_permissions(guard: Guard) -> BaseResponse | None:
    who: Actor = g.actor
    if missing := guard.missing(who.permissions):
        require(who, missing)
    if who.kind == "staff" and not who.reason:
        return _send_to(
            url_for("account.reading", next=here()),
            NotAllowed(_("State why you need to read customers' data first."), "reason_needed"),
        )
    return None


def _send_to(address: str, refusal: NotAllowed) -> Response | BaseResponse:
    """A person goes where the missing step is done; a program gets the refusal."""
    if wants_page():
        return redirect(address, 303)
    raise refusal


def unfinished_step(user: User) -> str | None:
    """Where one of the provider's people has to go before anything else; None when all is set up."""
    if not user.staff_role:
        return None
    if not (user.tf_totp_secret and user.tf_primary_method):
        return url_for("security.two_factor_setup")
    return None if user.mf_recovery_codes else url_for("security.mf_recovery_codes")


def _actor_and_scope(browser: UserSession, user: User) -> tuple[Actor, Scope]:
    known: dict[str, Any] = {"request_id": getattr(g, "request_id", ""), "ip": request.remote_addr or ""}
    if user.staff_role:
        reason = browser.reason if browser.reason_until and browser.reason_until > now() else ""
        organization_id = browser.organization_id_chosen if reason else None
        who = staff(user, organization_id, reason, **known)
        return who, Scope(organization_id=organization_id, user_id=user.id, reason=reason)
    found = _membership(user, browser.organization_id_chosen) or _first_membership(browser, user)
    if found is None:
        return Actor(kind="user", name=str(user), user_id=user.id, **known), Scope(user_id=user.id)
    membership, team_ids = found
    who = member(user, membership, team_ids, **known)
    return who, Scope(organization_id=membership.organization_id, user_id=user.id)


def _membership(user: User, organization_id: uuid.UUID | None) -> tuple[Membership, frozenset[uuid.UUID]] | None:
    """Their active membership there, with its custom role and teams; None when they have none."""
    if organization_id is None:
        return None
    teams = (
        select(TeamMember.team_id)
        .where(TeamMember.organization_id == organization_id, TeamMember.membership_id == Membership.id)
        .correlate(Membership)
        .scalar_subquery()
    )
    with tenancy.as_organization(organization_id, user.id):
        row = session.execute(
            select(Membership, func.array(teams))
            .where(Membership.organization_id == organization_id, Membership.user_id == user.id, Membership.active)
            .options(joinedload(Membership.custom_role))
            .execution_options(populate_existing=True)
        ).first()
    return (row[0], frozenset(row[1])) if row else None


def _first_membership(browser: UserSession, user: User) -> tuple[Membership, frozenset[uuid.UUID]] | None:
    """The organization they have been in longest, when none is chosen or the chosen one is no longer theirs; kept as chosen."""
    with tenancy.as_user(user.id):
        first = session.scalar(
            select(Membership.organization_id)
            .where(Membership.user_id == user.id, Membership.active)
            .order_by(Membership.created_at, Membership.id)
            .limit(1)
        )
    if first != browser.organization_id_chosen:
        with transaction():
            browser.organization_id_chosen = first
    return _membership(user, first)


def recheck() -> Actor | None:
    """The actor as of now, for a page that stays open: None when its browser was signed out or the door is no longer theirs."""
    tenancy.leave()
    session.rollback()
    found = browsers.find()
    guard = guard_of(current_app, request.endpoint or "")
    if found is None or guard is None:
        return None
    who, scope = _actor_and_scope(*found)
    if guard.missing(who.permissions) or (who.kind == "staff" and not who.reason):
        return None
    g.actor = who
    tenancy.enter(scope)
    return who


def _leave(error: BaseException | None) -> None:
    tenancy.leave(getattr(g, "scope_before", tenancy.NOBODY))


def actor() -> Actor:
    """Who is asking; access.NOBODY on public addresses."""
    return getattr(g, "actor", NOBODY)
