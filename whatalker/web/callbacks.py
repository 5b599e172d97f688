"""Where providers call us; its one rule: check the signature over the raw bytes, store them, answer, and make nothing of them here."""

from __future__ import annotations

import hmac

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import Counter
from sqlalchemy.exc import SQLAlchemyError

from whatalker import channels
from whatalker.db import transaction
from whatalker.security.guards import public
from whatalker.services import collecting

LARGEST = 4 * 1024 * 1024
"""Bytes; Meta's calls reach 3 MB."""

REASON = "a provider calls it: every call is proven by its signature, and the handshake by the verify token"

log = structlog.get_logger(__name__)
calls_total = Counter("whatalker_callbacks_total", "Calls of providers, by what became of them", ["provider", "outcome"])
callbacks = Blueprint("callbacks", __name__, url_prefix="/callbacks")


def init_app(app: Flask) -> None:
    app.register_blueprint(callbacks)


def _answer(outcome: str, text: str, status: int) -> Response:
    calls_total.labels("whatsapp", outcome).inc()
    return Response(text, status, mimetype="text/plain", headers={"X-Content-Type-Options": "nosniff"})


@callbacks.get("/whatsapp")
@public(REASON, signed=True)
def whatsapp_handshake() -> Response:
    """Meta's subscription check: the challenge comes back only to whoever knows the verify token."""
    asked = request.args
    token = asked.get("hub.verify_token", "").encode("utf-8", "replace")
    expected = current_app.config["WHATSAPP_VERIFY_TOKEN"].encode()
    if asked.get("hub.mode") == "subscribe" and expected and hmac.compare_digest(token, expected):
        return _answer("handshake", asked.get("hub.challenge", "")[:200], 200)
    return _answer("handshake_refused", "This verify token is not ours.", 403)


@callbacks.post("/whatsapp")
@public(REASON, signed=True)
def whatsapp_call() -> Response:
    """200 once the call is stored for good; 4xx for what is not Meta's; 503 asks Meta to bring it again."""
    if (request.content_length or 0) > LARGEST:
        return _answer("too_large", "The call is larger than 4 MiB.", 413)
    body = request.stream.read(LARGEST + 1)
    if len(body) > LARGEST:
        return _answer("too_large", "The call is larger than 4 MiB.", 413)
    secret = current_app.config["WHATSAPP_APP_SECRET"]
    if not channels.get("whatsapp").verify(body, dict(request.headers), [secret]):
        return _answer("bad_signature", "The signature does not match.", 401)
    try:
        with transaction():
            collecting.store_call("whatsapp", body)
    except SQLAlchemyError as error:
        log.exception("callback_not_stored", error=type(error).__name__)
        return _answer("not_stored", "We cannot store this now; bring it again.", 503)
    return _answer("stored", "", 200)
