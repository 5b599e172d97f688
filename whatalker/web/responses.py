"""Errors as answers: the only place that knows status codes; its one rule: no trace, SQL or name of a thing not yours ever leaves.

A person gets a page that says what to do next, htmx a fragment, a program JSON; each carries the reference that is in the log.
"""

from __future__ import annotations

from http import HTTPStatus

import structlog
from flask import Flask, Response, g, jsonify, make_response, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from whatalker.db import session
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound, ProviderError, WhatalkerError
from whatalker.security import here, wants_fragment, wants_json, wants_page

log = structlog.get_logger(__name__)

STATUSES: dict[type[WhatalkerError], int] = {Invalid: 422, NotFound: 404, NotAllowed: 403, Conflict: 409, ProviderError: 502}

TITLES = {
    400: _l("That could not be understood"),
    401: _l("Please sign in"),
    403: _l("This is not yours to do"),
    404: _l("There is nothing here"),
    405: _l("That is not possible here"),
    409: _l("Somebody was faster"),
    413: _l("That is too large"),
    415: _l("This kind of content is not taken here"),
    422: _l("That cannot be used as it is"),
    429: _l("Too many tries"),
    500: _l("Something went wrong on our side"),
    502: _l("The provider did not answer as it should"),
    503: _l("Back in a moment"),
}
HINTS = {
    400: _l("Go back, reload the page and try again."),
    401: _l("Your session has ended, or you have not signed in yet."),
    403: _l("An owner or admin of your organization can give you the permission."),
    404: _l("The address may be wrong, or it is not yours to see."),
    405: _l("Go back and use the buttons of the page."),
    409: _l("Reload the page to see how it is now."),
    413: _l("Send a smaller file, or less text."),
    415: _l("Send a form, or JSON where the documentation says so."),
    422: _l("Go back and change what is marked."),
    429: _l("Wait a few minutes before you try again."),
    500: _l("It has been noted. Try again; if it happens again, give us the reference below."),
    502: _l("Try again in a minute."),
    503: _l("We cannot reach a part of our own system. Try again in a minute."),
}


def init_app(app: Flask) -> None:
    app.register_error_handler(WhatalkerError, _refusal)
    app.register_error_handler(CSRFError, _forged)
    app.register_error_handler(RateLimitExceeded, _too_many)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DataError, _unreadable)
    app.register_error_handler(OperationalError, _away)
    app.register_error_handler(RedisError, _away)
    app.register_error_handler(Exception, _unexpected)


def reference() -> str:
    return str(getattr(g, "request_id", ""))


def refuse(status: int, code: str, message: str = "", **details: object) -> Response:
    """The answer for an error, in the form the caller can use."""
    title = str(TITLES.get(status) or HTTPStatus(status).phrase)
    hint = str(HINTS.get(status, ""))
    said = {"status": status, "code": code, "title": title, "message": message or hint or title, "reference": reference()}
    if wants_json():
        response = jsonify(error=said | ({"details": details} if details else {}))
    elif wants_fragment():
        response = make_response(render_template("errors/fragment.html", hint=hint, **said))
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#notices", "innerHTML"
    else:
        response = make_response(render_template("errors/page.html", hint=hint, **said))
    response.status_code = status
    return response


def _refusal(error: WhatalkerError) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)
    if status >= 500:
        log.warning("refused", code=error.code, status=status)
    return refuse(status, error.code, error.message)


def _forged(error: CSRFError) -> Response:
    return refuse(400, "form_expired", _("This form has expired. Reload the page and send it again."))


def _too_many(error: RateLimitExceeded) -> Response:
    response = refuse(429, "too_many_tries")
    response.headers["Retry-After"] = "300"
    return response


def _http(error: HTTPException) -> Response | BaseResponse:
    status = error.code or 500
    if error.response is not None or status < 400:
        return error.get_response()  # a redirect, or an answer that its author has written out
    if status == 401:
        return _sign_in_first()
    response = refuse(status, HTTPStatus(status).name.lower() if status in HTTPStatus._value2member_map_ else "error")
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Content-Range"):
            response.headers[name] = value
    return response


def _sign_in_first() -> Response | BaseResponse:
    to = url_for("security.login", next=here())
    if wants_page():
        return redirect(to, 303)
    response = refuse(401, "signed_out")
    if wants_fragment():
        response.headers["HX-Redirect"] = to
    return response


def _unreadable(error: DataError) -> Response:
    """PostgreSQL could not take a value (a NUL, a number out of range): the caller's doing, and nothing was stored."""
    session.rollback()
    log.info("value_refused_by_database", error=type(error.orig).__name__)
    return refuse(422, "invalid")


def _away(error: DBAPIError | RedisError) -> Response:
    session.rollback()
    log.error("server_away", error=type(error).__name__)
    response = refuse(503, "unavailable")
    response.headers["Retry-After"] = "10"
    return response


def _unexpected(error: Exception) -> Response:
    session.rollback()
    # The trace goes to the log only, where the processor takes out what must not be written.
    log.error("unexpected_error", error=type(error).__name__, exc_info=error)
    return refuse(500, "internal_error")
