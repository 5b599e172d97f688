"""config.py: production starts on nothing that was not chosen, and says all at once what is missing."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whatalker.errors import Invalid

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
COMPLETE = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://whatalker_login:x@db.example.com/whatalker",
    "MIGRATION_DATABASE_URL": "postgresql://whatalker_owner:x@db.example.com/whatalker",
    "REDIS_URL": "redis://:x@redis.example.com:6379/0",
    "SECRET_KEY": "Zk3vQ9pLr7TnX2bWc8YdHs5GmJf4AeUi6KoR1tN0",
    "ENCRYPTION_KEYS": KEY,
    "PUBLIC_URL": "https://crm.example.com/",
    "WHATSAPP_APP_SECRET": "0123456789abcdef",
    "WHATSAPP_VERIFY_TOKEN": "chosen by us",
}


@pytest.fixture
def read(environment: dict[str, str], tmp_path: Path):  # type: ignore[no-untyped-def] # config needs an environment to be imported at all
    import config

    return lambda **changes: config.read({"INSTANCE": str(tmp_path)} | COMPLETE | changes)


def complaints(read, **changes: str) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(Invalid) as caught:
        read(**changes)
    return caught.value.message


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS", "PUBLIC_URL", "WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN"]
)
def test_production_refuses_to_start_without(read, name: str) -> None:  # type: ignore[no-untyped-def]
    assert f"- {name} is not set" in complaints(read, **{name: ""})


def test_everything_missing_is_said_at_once(read) -> None:  # type: ignore[no-untyped-def]
    said = complaints(read, **dict.fromkeys(("DATABASE_URL", "SECRET_KEY", "PUBLIC_URL"), ""))
    assert said.count("is not set") == 3
    assert "docs/production.md" in said


@pytest.mark.parametrize("value", ["changeme-changeme-changeme-changeme-changeme", "short", "a" * 64, "secret" * 10])
def test_production_refuses_a_placeholder_as_secret_key(read, value: str) -> None:  # type: ignore[no-untyped-def]
    assert "SECRET_KEY is too short or a placeholder" in complaints(read, SECRET_KEY=value)


@pytest.mark.parametrize("value", ["not base64", KEY[:-4], f"{KEY},nonsense"])
def test_encryption_keys_must_be_keys(read, value: str) -> None:  # type: ignore[no-untyped-def]
    assert "ENCRYPTION_KEYS must be" in complaints(read, ENCRYPTION_KEYS=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PUBLIC_URL", "http://crm.example.com"), ("DATABASE_URL", "sqlite:///x.db"), ("REDIS_URL", "memcached://x"),
     ("WHATSAPP_API_BASE", "http://graph.example.com"), ("MAIL_PORT", "many"), ("MAIL_USE_TLS", "perhaps"), ("TRUSTED_PROXIES", "-1"),
     ("TOTP_SECRETS", "one"), ("ENVIRONMENT", "staging"), ("PUBLIC_URL", "https://crm.example.com:port")],
)  # fmt: skip
def test_a_wrong_value_is_named(read, name: str, value: str) -> None:  # type: ignore[no-untyped-def]
    assert f"- {name} must" in complaints(read, **{name: value})


def test_a_complaint_never_repeats_a_secret(read) -> None:  # type: ignore[no-untyped-def]
    assert "hunter2" not in complaints(read, DATABASE_URL="mysql://me:hunter2@db/whatalker", SECRET_KEY="hunter2")


def test_over_https_cookies_are_bound_to_the_host(read) -> None:  # type: ignore[no-untyped-def]
    settings = read()
    for kind in ("SESSION", "REMEMBER"):
        assert settings[f"{kind}_COOKIE_NAME"].startswith("__Host-")
        assert settings[f"{kind}_COOKIE_SECURE"] is True
        assert settings[f"{kind}_COOKIE_HTTPONLY"] is True
        assert settings[f"{kind}_COOKIE_SAMESITE"] == "Lax"


def test_production_answers_its_own_host_alone(read) -> None:  # type: ignore[no-untyped-def]
    assert read()["TRUSTED_HOSTS"] == ["crm.example.com"]
    assert read(TRUSTED_HOSTS="10.0.0.7, probe.internal")["TRUSTED_HOSTS"] == ["crm.example.com", "10.0.0.7", "probe.internal"]


def test_any_spelling_of_a_postgresql_address_is_read_by_psycopg(read) -> None:  # type: ignore[no-untyped-def]
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert read(DATABASE_URL=f"{scheme}://me@db/x")["SQLALCHEMY_DATABASE_URI"] == "postgresql+psycopg://me@db/x"


def test_the_demo_and_the_sandbox_have_no_place_in_production(read) -> None:  # type: ignore[no-untyped-def]
    settings = read(SANDBOX_URL="http://127.0.0.1:8001", DEMO_PASSWORD="x")
    assert settings["SANDBOX_URL"] == ""
    assert settings["DEMO"] == {}


def test_production_takes_nothing_from_an_instance_folder(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secrets.env").write_text("SECRET_KEY=from-the-folder\n")
    assert "SECRET_KEY is not set" in complaints(read, SECRET_KEY="")


def test_a_process_that_cannot_start_ends_its_complaint_with_what_to_read() -> None:
    bare = {"PATH": os.environ["PATH"], "ENVIRONMENT": "production"}
    done = subprocess.run(
        [sys.executable, "-m", "whatalker.cli", "doctor"], cwd=ROOT, env=bare, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().endswith("See docs/production.md.")
