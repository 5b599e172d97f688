"""Provider secrets encrypted at rest and links nobody can forge; its one rule: the keys never enter the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from flask import Flask, current_app
from flask_babel import gettext as _
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from sqlalchemy import Text, TypeDecorator
from sqlalchemy.engine import Dialect

from whatalker.errors import Invalid


def init_app(app: Flask) -> None:
    app.extensions["vault"] = cipher(app.config["ENCRYPTION_KEYS"])


def cipher(keys: Sequence[str]) -> MultiFernet:
    """The cipher over ENCRYPTION_KEYS: the first key encrypts, every key decrypts, so a key is rotated by putting a new one first."""
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise Invalid(
            "ENCRYPTION_KEYS must be Fernet keys (32 random bytes, URL-safe base64), separated by commas; make one with"
            " python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
        ) from error


def _vault() -> MultiFernet:
    return current_app.extensions["vault"]  # type: ignore[no-any-return]


class EncryptedJSON(TypeDecorator[dict[str, Any]]):
    """A JSON object that is unreadable without ENCRYPTION_KEYS."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        return None if value is None else _vault().encrypt(json.dumps(value).encode()).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        if value is None:
            return None
        try:
            plain: dict[str, Any] = json.loads(_vault().decrypt(value.encode()))
        except InvalidToken as error:
            raise Invalid(
                "A stored secret was encrypted with a key that is not in ENCRYPTION_KEYS; add that key at the end.",
                "unknown_encryption_key",
            ) from error
        return plain


def rotate(value: str) -> str:
    """The same secret, encrypted with the first key."""
    return _vault().rotate(value.encode()).decode()


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=f"whatalker:{purpose}")


def sign(purpose: str, data: Any) -> str:
    """A token for a link; only unsign() with the same purpose reads it back."""
    return str(_serializer(purpose).dumps(data))


def unsign(purpose: str, token: str, max_age: int) -> Any:
    """What was signed, at most `max_age` seconds ago; Invalid when it was changed, is too old or is for something else."""
    try:
        return _serializer(purpose).loads(token, max_age=max_age)
    except SignatureExpired as error:
        raise Invalid(_("This link has expired; ask for a new one."), "link_expired") from error
    except BadSignature as error:
        raise Invalid(_("This link is not valid; check that it is complete."), "link_invalid") from error
