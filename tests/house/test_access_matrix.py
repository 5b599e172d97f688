"""Every address, admin view, action and stream, as every role, on its own, a foreign and a missing object: nothing leaks."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from tests.house import matrix
from whatalker import create_app, security
from whatalker.access import Permission
from whatalker.security import Guard, every_guard, throttles


@pytest.fixture(autouse=True)
def generous():
    throttles.limiter.enabled = False
    yield
    throttles.limiter.enabled = True


def undeclared(app: Flask) -> list[str]:
    return [endpoint for endpoint, guard in every_guard(app) if guard is None]


def test_every_address_has_a_declared_guard_or_a_reason(whole_app: Flask) -> None:
    assert undeclared(whole_app) == []
    for endpoint, guard in every_guard(whole_app):
        assert guard.permissions if guard.kind == "permissions" else guard.reason, endpoint


def test_a_new_address_without_a_guard_is_found_and_stays_closed(whole_app: Flask) -> None:
    app = create_app("config.TestConfig")
    app.add_url_rule("/planted", "planted", lambda: "open to everyone")
    assert undeclared(app) == ["planted"]
    assert app.test_client().get("/planted").status_code == 404


def test_a_guard_without_a_permission_or_a_reason_cannot_be_written() -> None:
    for declare in (lambda: security.guard(), lambda: security.public(" "), lambda: security.signed_in("")):
        with pytest.raises(ValueError, match="permission|reason"):
            declare()


def test_only_what_a_provider_signs_goes_without_a_form_token(whole_app: Flask) -> None:
    writing = {rule.endpoint for rule in whole_app.url_map.iter_rules() if rule.methods - {"GET", "HEAD", "OPTIONS"}}
    signed = {endpoint for endpoint, guard in every_guard(whole_app) if guard.signed}
    assert signed & writing == {"callbacks.whatsapp_call"}


def test_the_public_addresses_are_these(whole_app: Flask) -> None:
    """A list to be read: whoever opens a new one to everybody writes it down here too."""
    assert {endpoint for endpoint, guard in every_guard(whole_app) if guard.kind == "public"} == {
        "admin.static", "admin_theme.static", "assets.static_file", "callbacks.whatsapp_call", "callbacks.whatsapp_handshake",
        "probes.exposed_metrics", "probes.healthz", "probes.readyz", "security.forgot_password", "security.login",
        "security.logout", "security.mf_recovery", "security.reset_password", "security.two_factor_setup",
        "security.two_factor_token_validation",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("who", matrix.WHO)
def test_nothing_leaks(app: Flask, owner_connection: Any, who: str) -> None:
    stage = matrix.set_up(app, who)
    before = matrix.fingerprint(owner_connection, stage.world.theirs)
    found = matrix.breaches(stage)
    assert not found, "\n" + "\n".join(found)
    if not who.endswith("reading all"):
        found = matrix.searches(stage)
        assert not found, "\n" + "\n".join(found)
        assert matrix.fingerprint(owner_connection, stage.world.theirs) == before, "something of the other organization changed"


@pytest.mark.parametrize("role", ["agent", "owner"])
def test_a_planted_leak_is_seen(app: Flask, role: str) -> None:
    """A view that forgets to ask for its own rows, one that answers for somebody else, and one that is too widely open."""
    stage = matrix.set_up(app, role)
    canary = stage.world.theirs.canary
    views = {
        "leak": security.guard(Permission.INBOX_OPEN)(lambda conversation_id: canary),
        "open": security.guard(Permission.PLATFORM_READ)(lambda: "nobody of an organization reads this"),
    }
    planted = create_app("config.TestConfig")
    planted.add_url_rule("/planted/<uuid:conversation_id>", "planted", views["leak"])
    planted.add_url_rule("/platform", "platform", views["open"])
    stage.app = planted
    browser = stage.browser()
    seen = {}
    for attempt in matrix.tries(stage):
        if attempt.endpoint in ("planted", "platform"):
            guard = security.guard_of(planted, attempt.endpoint)
            seen[f"{attempt.endpoint} {attempt.object}"] = matrix.verdict(
                stage, matrix.expected(stage, guard, attempt), *matrix.answer(browser, attempt), attempt
            )
    assert seen["planted own"] == "it tells of the other organization"
    assert seen["planted foreign"].startswith("not there was expected") and seen["planted missing"].startswith("not there was expected")
    assert seen["platform none"] == "", "it is refused, as its guard says"
    wide = Guard("permissions", frozenset({Permission.INBOX_OPEN}))
    attempt = matrix.Try("platform", "GET", "none", "/platform")
    assert matrix.verdict(stage, matrix.expected(stage, wide, attempt), *matrix.answer(browser, attempt), attempt) == ""
    assert matrix.verdict(stage, "open", 500, "", "", attempt) == "500"
