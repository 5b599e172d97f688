"""Codes from an authenticator app and recovery codes; its one rule: a code works once, and recovery codes are kept only as hashes."""

from __future__ import annotations

import hashlib
import hmac
import time

import qrcode
import structlog
from flask import current_app
from flask_security import MfRecoveryCodesUtil, Totp, UserMixin
from markupsafe import Markup
from passlib.exc import TokenError
from qrcode.image.svg import SvgPathImage
from redis.exceptions import RedisError

from whatalker.queues import redis

log = structlog.get_logger(__name__)

RECOVERY_CODES = 10
_REMEMBERED = 600
"""Seconds for which a used code is remembered: longer than any code is accepted."""


class OnceOnlyTotp(Totp):  # type: ignore[misc]
    """Flask-Security's codes, each accepted once: one read over a shoulder or from the wire is worth nothing."""

    def verify_totp(self, token: str, totp_secret: str, user: UserMixin, window: int = 0) -> bool:
        try:
            match = self._totp.verify(token, totp_secret, window=window)
        except (TokenError, ValueError):
            return False
        return _first_use(f"{totp_secret}:{match.counter}")

    def generate_qrcode(self, username: str, totp: str) -> Markup:
        """The otpauth address as an inline SVG: no data: image, so the page needs nothing beyond our policy."""
        image = qrcode.make(self.get_totp_uri(username, totp), image_factory=SvgPathImage, border=2)
        return Markup(image.to_string(encoding="unicode"))  # noqa: S704 - made of squares by the library, no text in it


_used: dict[str, float] = {}


def _first_use(what: str) -> bool:
    key = "totp:" + hashlib.sha256(what.encode()).hexdigest()
    try:
        return bool(redis().set(key, "1", nx=True, ex=_REMEMBERED))
    except RedisError as error:
        # Then each process remembers for itself.
        log.warning("used_codes_not_shared", error=type(error).__name__)
    moment = time.monotonic()
    for old in [seen for seen, at in _used.items() if moment - at > _REMEMBERED]:
        _used.pop(old, None)
    return _used.setdefault(key, moment) == moment


class HashedRecoveryCodes(MfRecoveryCodesUtil):  # type: ignore[misc]
    """Shown once when they are made; from then on only their HMAC is kept, so nobody can read them back, staff included."""

    def _encrypt_codes(self, codes: list[str]) -> list[str]:
        return [_hashed(code) for code in codes]

    def _decrypt_codes(self, codes: list[str]) -> list[str]:
        return codes

    def get_recovery_codes(self, user: UserMixin) -> list[str]:
        return []

    def check_recovery_code(self, user: UserMixin, code: str) -> bool:
        return any(hmac.compare_digest(_hashed(code), kept) for kept in user.mf_recovery_codes or [])

    def delete_recovery_code(self, user: UserMixin, code: str) -> bool:
        return bool(super().delete_recovery_code(user, _hashed(code)))


def _hashed(code: str) -> str:
    plain = "".join(character for character in code.casefold() if character.isalnum())
    return hmac.new(current_app.config["SECRET_KEY"].encode(), f"recovery:{plain}".encode(), hashlib.sha256).hexdigest()
