"""A person's own pages: profile, signed-in browsers, organizations, and for staff the reason for which they read customers' data."""

from __future__ import annotations

import uuid
from zoneinfo import available_timezones

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from whatalker.access import Permission, can
from whatalker.db import transaction
from whatalker.errors import Invalid, NotAllowed
from whatalker.language import LANGUAGES
from whatalker.security import (
    actor,
    begin_reading,
    browsers,
    choose_organization,
    end_reading,
    local_or,
    organizations_of,
    readings,
    signed_in,
    signed_in_user,
)  # fmt: skip
from whatalker.services import enrolling

pages = Blueprint("account", __name__)
OWN = "one's own account, whatever the role"


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)


@pages.get("/")
@signed_in("sends each person to where they work")
def start() -> Response:
    who = actor()
    if who.kind == "staff" or (can(who, Permission.ADMIN_OPEN) and not can(who, Permission.INBOX_OPEN)):
        return redirect("/admin/")
    return redirect("/inbox" if can(who, Permission.INBOX_OPEN) else url_for("account.home"))


@pages.get("/account/")
@signed_in(OWN)
def home() -> str:
    return render_template(
        "account/home.html", user=signed_in_user(), organizations=organizations_of(signed_in_user()), languages=LANGUAGES,
        zones=sorted(available_timezones()),
    )  # fmt: skip


@pages.post("/account/profile")
@signed_in(OWN)
def save_profile() -> Response:
    form = request.form
    with transaction():
        enrolling.update_own_profile(
            actor(), signed_in_user(), name=form.get("name", ""), language=form.get("language", ""),
            time_zone=form.get("time_zone", ""), enter_sends="enter_sends" in form,
        )  # fmt: skip
    flash(_("Saved."), "success")
    return redirect(url_for("account.home"), 303)


@pages.get("/account/sessions")
@signed_in(OWN)
def sessions() -> str:
    return render_template(
        "account/sessions.html", browsers=browsers.of_person(signed_in_user()), this=readings.signed_in_browser(),
        device=browsers.device,
    )  # fmt: skip


@pages.post("/account/sessions/<uuid:browser_id>/end")
@signed_in(OWN)
def end_session(browser_id: uuid.UUID) -> Response:
    with transaction():
        browsers.end(signed_in_user().id, browser_id)
    flash(_("That browser is signed out."), "success")
    return redirect(url_for("account.sessions"), 303)


@pages.post("/account/sessions/end-others")
@signed_in(OWN)
def end_other_sessions() -> Response:
    with transaction():
        browsers.end_all(signed_in_user().id, but=readings.signed_in_browser().id)
    flash(_("All other browsers are signed out."), "success")
    return redirect(url_for("account.sessions"), 303)


@pages.post("/account/organization")
@signed_in("choosing among the organizations one belongs to")
def switch_organization() -> Response:
    chosen = choose_organization(request.form.get("organization_id", ""))
    flash(_("You are now working in %(name)s.", name=chosen.name), "success")
    return redirect("/", 303)


@pages.get("/account/reading")
@signed_in("where the provider's own people state a reason; others are refused")
def reading() -> str:
    _only_staff()
    return render_template("account/reading.html", next=local_or(request.args.get("next"), "/admin/"))


@pages.post("/account/reading")
@signed_in("where the provider's own people state a reason; others are refused", fresh=True)
def start_reading() -> Response:
    begin_reading(request.form.get("reason", ""), _chosen(request.form.get("organization_id", "")))
    return redirect(local_or(request.form.get("next"), "/admin/"), 303)


@pages.post("/account/reading/stop")
@signed_in("ending what one has begun")
def stop_reading() -> Response:
    end_reading()
    flash(_("You no longer read customers’ data."), "success")
    return redirect(url_for("account.home"), 303)


def _only_staff() -> None:
    if not signed_in_user().staff_role:
        raise NotAllowed(_("Only the provider’s own people read across organizations."))


def _chosen(text: str) -> uuid.UUID | None:
    if not text.strip():
        return None
    try:
        return uuid.UUID(text.strip())
    except ValueError as error:
        raise Invalid(_("That is not the id of an organization."), "invalid_organization") from error
