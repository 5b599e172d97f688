"""The environment, read once; its one rule: nothing that must be secret or chosen has a default in production.

Named to the factory as a string (`create_app("config.Config")`) and imported by nobody. In development what is not in the
environment is taken from the instance folder of a running `scripts/run`, so that `whatalker doctor` in another terminal just works.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from whatalker.errors import Invalid

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = ("development", "production", "test")
GRAPH_API = "https://graph.facebook.com/v23.0"
RUN_FILES = ("secrets.env", "environment.env")
"""What scripts/run keeps in the instance folder: the secrets for good, the addresses while it runs."""

_MAKE_WORD = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_MAKE_KEY = "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
_WEAK = ("secret", "change", "default", "example", "password", "sandbox", "dev", "test")


class Reader:
    """Takes settings from a mapping and remembers everything that is wrong with them, so that it can be said at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str = "", required: str = "") -> str:
        """The value; with `required`, how to set it, an empty one is a problem."""
        value = self.environ.get(name, "").strip() or default
        if not value and required:
            self.problems.append(f"{name} is not set: {required}")
        return value

    def secret(self, name: str, required: str, strict: bool) -> str:
        """A value that must be long and its own; in production one that looks like a placeholder is refused."""
        value = self.text(name, required=required)
        if value and strict and (len(value) < 32 or value.lower().startswith(_WEAK) or len(set(value)) < 10):
            self.problems.append(f"{name} is too short or a placeholder: {required}")
        return value

    def number(self, name: str, default: int, lowest: int = 0, highest: int = 2**31) -> int:
        value = self.environ.get(name, "").strip()
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or not lowest <= int(value) <= highest:
            self.problems.append(f"{name} must be a whole number from {lowest} to {highest}, not {value!r}")
            return default
        return int(value)

    def yes(self, name: str, default: bool) -> bool:
        value = self.environ.get(name, "").strip().lower()
        if value in ("", "1", "true", "yes", "on"):
            return bool(value) or default
        if value not in ("0", "false", "no", "off"):
            self.problems.append(f"{name} must be yes or no, not {value!r}")
        return False

    def url(self, name: str, schemes: tuple[str, ...], default: str = "", required: str = "") -> str:
        value = self.text(name, default, required).rstrip("/")
        try:
            parts = urlsplit(value)
            readable = parts.scheme in schemes and (parts.port or 1) > 0  # asking for a port that is no number raises
        except ValueError:
            readable = False
        if value and not readable:
            # The value is not repeated: it may hold a password.
            self.problems.append(
                f"{name} must be an address that begins with {' or '.join(s + '://' for s in schemes)}"
            )
        return value


def _with_instance(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over what a running instance has left in its folder; production never looks there."""
    instance = Path(environ.get("INSTANCE") or ROOT / "instance").absolute()
    values = {"INSTANCE": str(instance)}
    if environ.get("ENVIRONMENT", "development") == "development":
        for name in RUN_FILES:
            try:
                lines = (instance / name).read_text().splitlines()
            except OSError:
                continue
            values |= {key: value for key, _, value in (line.partition("=") for line in lines) if key}
    return values | {key: value for key, value in environ.items() if value} | {"INSTANCE": str(instance)}


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """Every setting of the product; Invalid lists all that is missing or wrong, and how to set it."""
    values = Reader(_with_instance(environ))
    environment = values.text("ENVIRONMENT", "development")
    if environment not in ENVIRONMENTS:
        values.problems.append(f"ENVIRONMENT must be one of {', '.join(ENVIRONMENTS)}, not {environment!r}")
    production = environment == "production"
    settings = {"ENVIRONMENT": environment, "INSTANCE": values.environ["INSTANCE"]}
    settings |= _places(values, production) | _secrets(values, production) | _mail(values, production)
    settings |= _cookies(settings, values) | _outbox(values) | {"DEMO": {} if production else _demo(values)}
    if values.problems:
        started = "" if production else " Development: scripts/run starts everything and sets all of it."
        raise Invalid(
            f"WhaTalker cannot start ({environment}):\n- "
            + "\n- ".join(values.problems)
            + f"\nSee docs/production.md.{started}",
            "misconfigured",
        )
    return settings


def _places(values: Reader, production: bool) -> dict[str, Any]:
    """Where the servers, the files and the provider are."""
    database = values.url("DATABASE_URL", _POSTGRES, required="postgresql://whatalker_login:…@HOST/whatalker")
    redis = values.url("REDIS_URL", ("redis", "rediss", "unix"), required="redis://:…@HOST:6379/0")
    public = values.url(
        "PUBLIC_URL",
        ("https",) if production else ("http", "https"),
        required="the address people open, such as https://crm.example.com",
    )
    api = values.url("WHATSAPP_API_BASE", ("http", "https"), default=GRAPH_API)
    if (
        production
        and urlsplit(api).scheme == "http"
        and urlsplit(api).hostname not in ("127.0.0.1", "localhost", "::1")
    ):
        values.problems.append("WHATSAPP_API_BASE must begin with https://, or be on this machine")
    owner = values.url("MIGRATION_DATABASE_URL", _POSTGRES, default=database)
    return {
        "DATABASE_URL": _for_psycopg(database),
        "MIGRATION_DATABASE_URL": _for_psycopg(owner),
        "SQLALCHEMY_DATABASE_URI": _for_psycopg(database),
        "REDIS_URL": redis,
        "RATELIMIT_STORAGE_URI": "redis+" + redis if redis.startswith("unix:") else redis,
        "PUBLIC_URL": public,
        "PREFERRED_URL_SCHEME": urlsplit(public).scheme or "http",
        "TRUSTED_HOSTS": _hosts(values, public, production),
        "TRUSTED_PROXIES": values.number("TRUSTED_PROXIES", 0, highest=5),
        "MEDIA_ROOT": values.text("MEDIA_ROOT", str(Path(values.environ["INSTANCE"]) / "media")),
        "WHATSAPP_API_BASE": api,
        "METRICS_TOKEN": values.text("METRICS_TOKEN"),
        "MAX_CONTENT_LENGTH": values.number("MAX_CONTENT_LENGTH", 17 * 1024 * 1024, lowest=1024),
        "STREAMS_PER_PROCESS": values.number("STREAMS_PER_PROCESS", 24, lowest=1, highest=100_000),
        "SANDBOX_URL": "" if production else values.url("SANDBOX_URL", ("http", "https")),
    }


_POSTGRES = ("postgresql", "postgresql+psycopg", "postgres")


def _for_psycopg(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in _POSTGRES else url


def _hosts(values: Reader, public: str, production: bool) -> list[str]:
    """The Host headers we answer to: the public one, more where listed, and in development this machine's own."""
    more = [host.strip() for host in values.text("TRUSTED_HOSTS").split(",") if host.strip()]
    own = [] if production else ["127.0.0.1", "localhost"]
    return list(dict.fromkeys([urlsplit(public).hostname or "localhost", *more, *own]))


def _secrets(values: Reader, production: bool) -> dict[str, Any]:
    keys = tuple(
        key.strip()
        for key in values.text(
            "ENCRYPTION_KEYS", required=f"one or more, newest first, by commas; make one: {_MAKE_KEY}"
        ).split(",")
    )
    for key in filter(None, keys):
        try:
            if len(base64.b64decode(key, altchars=b"-_", validate=True)) != 32:
                raise binascii.Error
        except binascii.Error:
            values.problems.append(
                f"ENCRYPTION_KEYS must be URL-safe base64 of 32 random bytes, by commas; make one: {_MAKE_KEY}"
            )
            break
    return {
        "SECRET_KEY": values.secret("SECRET_KEY", f"make one: {_MAKE_WORD}", production),
        "ENCRYPTION_KEYS": keys,
        "SECURITY_TOTP_SECRETS": _totp_secrets(values, keys[-1]),
        # Argon2 salts each password by itself; this only separates our hashes from those of others.
        "SECURITY_PASSWORD_SALT": "whatalker",
        "WHATSAPP_APP_SECRET": values.text(
            "WHATSAPP_APP_SECRET", required="the app secret from the app dashboard of Meta"
        ),
        "WHATSAPP_VERIFY_TOKEN": values.text(
            "WHATSAPP_VERIFY_TOKEN",
            required=f"the word typed at Meta for the webhook's handshake; make one: {_MAKE_WORD}",
        ),
    }


def _totp_secrets(values: Reader, oldest_key: str) -> dict[str, str]:
    """What encrypts people's two-factor secrets, by tag; the highest tag encrypts, every tag decrypts."""
    given = values.text("TOTP_SECRETS")
    if not given:
        return {"1": hmac.new(oldest_key.encode(), b"two-factor secrets", hashlib.sha256).hexdigest()}
    pairs = [pair.strip().partition(":") for pair in given.split(",")]
    if not all(tag.isdigit() and len(secret) >= 32 for tag, _, secret in pairs):
        values.problems.append(
            "TOTP_SECRETS must be NUMBER:SECRET, by commas, each secret of 32 characters or more; the highest number is used"
        )
    return {tag: secret for tag, _, secret in pairs}


def _cookies(settings: Mapping[str, Any], values: Reader) -> dict[str, Any]:
    """Over https the __Host- prefix, which no other host or path can overwrite; over plain http on this machine it cannot be had.

    Browsers would take a Secure cookie from 127.0.0.1, but other programs that drive the running product would not send it back.
    """
    secure = str(settings.get("PUBLIC_URL", "")).startswith("https://")
    prefix = "__Host-" if secure else ""
    return {
        "SESSION_COOKIE_NAME": f"{prefix}whatalker",
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PATH": "/",
        "REMEMBER_COOKIE_NAME": f"{prefix}whatalker-remember",
        "REMEMBER_COOKIE_SECURE": secure,
        "REMEMBER_COOKIE_HTTPONLY": True,
        "REMEMBER_COOKIE_SAMESITE": "Lax",
    }


def _outbox(values: Reader) -> dict[str, Any]:
    """Seconds after which what a killed worker left behind is taken up: a claim, a call, and an outcome that nobody knows."""
    return {
        "CLAIM_LEASE_SECONDS": values.number("CLAIM_LEASE_SECONDS", 30, lowest=2, highest=600),
        "SENDING_LEASE_SECONDS": values.number("SENDING_LEASE_SECONDS", 45, lowest=3, highest=600),
        "UNKNOWN_WAIT_SECONDS": values.number("UNKNOWN_WAIT_SECONDS", 60, lowest=2, highest=86_400),
    }


def _mail(values: Reader, production: bool) -> dict[str, Any]:
    """Without a server letters are made and not sent; `whatalker doctor` says so."""
    server = values.text("MAIL_SERVER")
    return {
        "MAIL_SERVER": server or "localhost",
        "MAIL_PORT": values.number("MAIL_PORT", 587 if server else 25, lowest=1, highest=65535),
        "MAIL_USE_TLS": values.yes("MAIL_USE_TLS", bool(server)),
        "MAIL_USE_SSL": values.yes("MAIL_USE_SSL", False),
        "MAIL_USERNAME": values.text("MAIL_USERNAME") or None,
        "MAIL_PASSWORD": values.text("MAIL_PASSWORD") or None,
        "MAIL_DEFAULT_SENDER": values.text(
            "MAIL_DEFAULT_SENDER", "whatalker@localhost", "who letters come from" if production and server else ""
        ),
        "MAIL_SUPPRESS_SEND": not server,
    }


def _demo(values: Reader) -> dict[str, str]:
    """What the demo is seeded with: made by scripts/run, kept with the instance's secrets."""
    names = ("password", "totp_secret", "access_token", "phone_number_id", "waba_id", "display_phone_number")
    return {name: value for name in names if (value := values.text(f"DEMO_{name.upper()}"))}


class Config:
    """The settings of this process."""


for _name, _value in read(os.environ).items():
    setattr(Config, _name, _value)


class TestConfig(Config):
    """The same, with what makes tests fast and their failures plain."""

    TESTING = True
    MAIL_SUPPRESS_SEND = True
    # Argon2 as in production costs 0.17 s a password.
    SECURITY_PASSWORD_HASH_PASSLIB_OPTIONS = {"argon2__rounds": 1, "argon2__memory_cost": 256, "argon2__parallelism": 1}
