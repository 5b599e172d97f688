"""Flask-Security, set up our way; its one rule: whatever goes wrong, the answer does not tell whether an account exists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from flask import Flask, g, request
from flask import session as cookie
from flask_babel import lazy_gettext
from flask_login import user_logged_in, user_logged_out
from flask_login.utils import _user_context_processor
from flask_security import (
    MailUtil,
    Security,
    SQLAlchemyUserDatastore,
    password_changed,
    password_reset,
    tf_disabled,
    tf_profile_changed,
    uia_email_mapper,
    user_failed_authn,
)  # fmt: skip
from flask_security.utils import set_request_attr
from sqlalchemy import func, update
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from whatalker import mail
from whatalker.access import Actor
from whatalker.db import db, now, session, transaction
from whatalker.language import TRANSLATIONS
from whatalker.models import Role, User
from whatalker.security import browsers, sign_in_forms
from whatalker.security.addresses import is_local
from whatalker.security.passwords import SHORTEST, OfflinePasswordUtil
from whatalker.security.second_factor import RECOVERY_CODES, HashedRecoveryCodes, OnceOnlyTotp
from whatalker.services import auditing

log = structlog.get_logger(__name__)

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

MOST_FAILURES = 10
LOCK = timedelta(minutes=15)
"""After ten wrong passwords or codes in a row the account takes no more for a quarter of an hour."""

SETTINGS: dict[str, Any] = {
    "RETURN_GENERIC_RESPONSES": True,
    "PASSWORD_HASH": "argon2",
    "PASSWORD_SCHEMES": ["argon2"],
    "PASSWORD_LENGTH_MIN": SHORTEST,
    "PASSWORD_NORMALIZE_FORM": "NFKC",
    # CITEXT compares without case by itself, and so uses its index.
    "USER_IDENTITY_ATTRIBUTES": [{"email": {"mapper": uia_email_mapper, "case_insensitive": False}}],
    "EMAIL_VALIDATOR_ARGS": {"check_deliverability": False, "test_environment": True},
    "API_ENABLED_METHODS": ["session"],
    "JOIN_USER_ROLES": False,
    "RECOVERABLE": True,
    "CHANGEABLE": True,
    "REGISTERABLE": False,
    "TWO_FACTOR": True,
    "TWO_FACTOR_ENABLED_METHODS": ["authenticator"],
    "TWO_FACTOR_AUTHENTICATOR_VALIDITY": 30,
    "TWO_FACTOR_ALWAYS_VALIDATE": True,
    "TWO_FACTOR_RESCUE_EMAIL": False,
    "TWO_FACTOR_SETUP_WITHIN": timedelta(minutes=15),
    "TWO_FACTOR_POST_SETUP_VIEW": "/account/",
    "MULTI_FACTOR_RECOVERY_CODES": True,
    "MULTI_FACTOR_RECOVERY_CODES_N": RECOVERY_CODES,
    "TOTP_ISSUER": "WhaTalker",
    "FRESHNESS": timedelta(minutes=30),
    "FRESHNESS_GRACE_PERIOD": timedelta(minutes=10),
    "RESET_PASSWORD_WITHIN": timedelta(hours=1),
    "LOGOUT_METHODS": ["POST"],
    "POST_LOGIN_VIEW": "/",
    "POST_LOGOUT_VIEW": "/login",
    "POST_CHANGE_VIEW": "/account/",
    "POST_RESET_VIEW": "/login",
    "POST_VERIFY_VIEW": "/",
    "STATIC_FOLDER": None,
    "CACHE_CONTROL": None,  # theirs comes out as "private=True"; ours is on every page anyway
    "EMAIL_HTML": False,
    "EMAIL_SUBJECT_PASSWORD_RESET": lazy_gettext("Choose a new password for WhaTalker"),
    "EMAIL_SUBJECT_PASSWORD_NOTICE": lazy_gettext("Your WhaTalker password was changed"),
    "EMAIL_SUBJECT_PASSWORD_CHANGE_NOTICE": lazy_gettext("Your WhaTalker password was changed"),
    "EMAIL_TEMPLATE_PASSWORD_RESET": "letters/choose_password",
    "EMAIL_TEMPLATE_PASSWORD_RESET_NOTICE": "letters/password_changed",
    "EMAIL_TEMPLATE_PASSWORD_CHANGE_NOTICE": "letters/password_changed",
    "LOGIN_USER_TEMPLATE": "sign_in/sign_in.html",
    "FORGOT_PASSWORD_TEMPLATE": "sign_in/forgot_password.html",
    "RESET_PASSWORD_TEMPLATE": "sign_in/reset_password.html",
    "CHANGE_PASSWORD_TEMPLATE": "sign_in/change_password.html",
    "VERIFY_TEMPLATE": "sign_in/verify.html",
    "TWO_FACTOR_SETUP_TEMPLATE": "sign_in/two_factor_setup.html",
    "TWO_FACTOR_VERIFY_CODE_TEMPLATE": "sign_in/two_factor_code.html",
    "MULTI_FACTOR_RECOVERY_CODES_TEMPLATE": "sign_in/recovery_codes.html",
    "MULTI_FACTOR_RECOVERY_TEMPLATE": "sign_in/recovery.html",
    "I18N_DIRNAME": ["builtin", TRANSLATIONS],  # theirs, and ours where theirs has gaps
    "CLI_USERS_NAME": None,
    "CLI_ROLES_NAME": None,
}


class PostUtil(MailUtil):  # type: ignore[misc]
    """Letters go through our own post office."""

    def send_mail(
        self, template: str, subject: str, recipient: str | tuple[str, str], sender: Any, body: str | None, html: Any, **known: Any
    ) -> None:
        mail.post(str(subject), recipient if isinstance(recipient, str) else recipient[1], body or "")


def init_app(app: Flask) -> None:
    for name, value in SETTINGS.items():
        app.config.setdefault(f"SECURITY_{name}", value)
    mail.init_app(app)
    security = Security(
        app,
        SQLAlchemyUserDatastore(db, User, Role),  # type: ignore[arg-type]
        mail_util_cls=PostUtil,
        password_util_cls=OfflinePasswordUtil,
        totp_cls=OnceOnlyTotp,
        mf_recovery_codes_util_cls=HashedRecoveryCodes,
        **sign_in_forms.REPLACED,
    )
    security.want_json(lambda request: False)
    # One query answers who comes: the session row and its person. There are no other ways in, so no request loader.
    security.login_manager.user_loader(_load)
    security.login_manager._request_callback = None
    # Both would ask the database who comes on every request or page, the one that says the database is away included.
    app.before_request_funcs[None].remove(security.principal._on_before_request)
    app.template_context_processors[None].remove(_user_context_processor)
    app.before_request(_refuse_what_we_never_send)
    user_logged_in.connect(_signed_in, app)
    user_logged_out.connect(_signed_out, app)
    user_failed_authn.connect(_failed, app)
    password_changed.connect(_password_changed, app)
    password_reset.connect(_password_changed, app)
    tf_profile_changed.connect(_second_factor_changed, app)
    tf_disabled.connect(_second_factor_removed, app)


def _load(uniquifier: str) -> User | None:
    found = browsers.find()
    if found is None or found[1].fs_uniquifier != uniquifier:
        return None
    g.browser, user = found
    set_request_attr("fs_authn_via", "session")
    set_request_attr("fs_paa", cookie.get("fs_paa", 0))
    return user


def _refuse_what_we_never_send() -> None:
    """Flask-Security would also read JSON, and addresses elsewhere to go on to; its pages are forms, and next is a path of ours."""
    if request.blueprint != "security":
        return
    if request.method == "POST" and request.content_length and request.mimetype not in FORMS:
        raise UnsupportedMediaType
    given = [request.args.get("next"), request.form.get("next") if request.method == "POST" else None]
    if any(address and not is_local(address) for address in given):
        raise BadRequest


def person(user: User) -> Actor:
    """The person about whom the audit speaks while no organization is chosen yet."""
    known: dict[str, Any] = {"request_id": getattr(g, "request_id", ""), "ip": request.remote_addr or ""}
    return Actor(kind="staff" if user.staff_role else "user", name=str(user), user_id=user.id, **known)


def _audit(action: str, user: User, **changes: Any) -> None:
    with transaction():
        auditing.record(person(user), action, user, diff=changes)


def _signed_in(app: Flask, user: User, **more: Any) -> None:
    g.browser = browsers.start(user)
    # A form of the time before signing in is worth nothing after it.
    cookie.pop("csrf_token", None)
    g.pop("csrf_token", None)
    with transaction():
        session.execute(update(User).where(User.id == user.id).values(failed_sign_ins=0, locked_until=None))
    _audit("sign_in.succeeded", user)


def _signed_out(app: Flask, user: User, **more: Any) -> None:
    browser = getattr(g, "browser", None)
    cookie.clear()
    if browser is not None:
        with transaction():
            browsers.end_all(user.id, only=browser.id)
        _audit("sign_out.done", user)


def _failed(app: Flask, user: User, auth_type: str, tfa: bool, **more: Any) -> None:
    """Count it; one statement, so that parallel guesses are all counted."""
    with transaction():
        failures = session.scalar(
            update(User)
            .where(User.id == user.id, func.coalesce(User.locked_until, now()) <= now())
            .values(failed_sign_ins=User.failed_sign_ins + 1)
            .returning(User.failed_sign_ins)
            .execution_options(synchronize_session=False)
        )
        if failures is not None and failures >= MOST_FAILURES:
            session.execute(
                update(User).where(User.id == user.id).values(failed_sign_ins=0, locked_until=now() + LOCK)
            )
            auditing.record(person(user), "sign_in.locked", user, diff={"failures": [0, failures]})


def _password_changed(app: Flask, user: User, **more: Any) -> None:
    """Every other browser is signed out: whoever knew the old password is gone."""
    browser = getattr(g, "browser", None)
    with transaction():
        ended = browsers.end_all(user.id, but=browser.id if browser else None)
        session.execute(update(User).where(User.id == user.id).values(failed_sign_ins=0, locked_until=None))
        auditing.record(person(user), "password.changed", user, diff={"sessions_ended": [0, ended]})


def _second_factor_changed(app: Flask, user: User, **more: Any) -> None:
    _audit("second_factor.set_up", user._get_current_object() if hasattr(user, "_get_current_object") else user)


def _second_factor_removed(app: Flask, user: User, **more: Any) -> None:
    _audit("second_factor.removed", user._get_current_object() if hasattr(user, "_get_current_object") else user)
