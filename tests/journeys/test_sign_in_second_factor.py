"""Codes and recovery codes: required for the provider's own people, good once, never shown again."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from passlib.totp import TOTP
from sqlalchemy import select, update

from tests import factories
from tests.factories import PASSWORD
from tests.visiting import anonymous, sign_in, visit
from whatalker import models as m
from whatalker.db import now, session, transaction
from whatalker.security import throttles


@pytest.fixture(autouse=True)
def generous(app: Flask):
    throttles.limiter.enabled = False
    yield
    throttles.limiter.enabled = True


@pytest.fixture
def officer(app: Flask) -> m.User:
    with app.app_context():
        return factories.make_user(staff_role="compliance_officer")


def _code(key: str, later: float = 0) -> str:
    return TOTP(key.replace("-", "")).generate(now().timestamp() + later).token


def _key(page: str) -> str:
    return re.search(r"<code>([A-Z2-7-]+)</code>", page)[1]


def _set_up(client: FlaskClient, officer: m.User) -> tuple[str, list[str]]:
    """Sign in for the first time and finish setting up; answers the key and the recovery codes."""
    assert sign_in(client, officer.email).location == "/tf-setup"
    key = _key(client.post("/tf-setup", data={"setup": "authenticator"}).text)
    assert client.post("/tf-validate", data={"code": _code(key)}).location == "/"
    assert client.get("/admin/").location == "/mf-recovery-codes"
    page = client.post("/mf-recovery-codes", data={"generate_new_codes": "1"})
    codes = re.findall(r"<li>([0-9a-f-]{14})</li>", page.text)
    assert len(codes) == 10
    return key, codes


def test_staff_reach_nothing_but_the_setup_until_it_is_done(app: Flask, officer: m.User) -> None:
    client = anonymous(app)
    assert sign_in(client, officer.email).location == "/tf-setup"
    for page in ("/", "/account/", "/account/reading", "/admin/"):
        assert client.get(page).status_code == 303, page
        assert client.get(page).location.startswith("/login")
    key = _key(client.post("/tf-setup", data={"setup": "authenticator"}).text)
    client.post("/tf-validate", data={"code": _code(key)})
    for page in ("/", "/account/", "/account/sessions", "/account/reading", "/admin/"):
        assert client.get(page).location == "/mf-recovery-codes", page
    assert client.post("/account/reading", data={"reason": "ticket 4711 of a customer"}).location == "/mf-recovery-codes"
    client.post("/mf-recovery-codes", data={"generate_new_codes": "1"})
    assert client.get("/account/").status_code == 200


def test_someone_made_staff_while_signed_in_must_set_up_first(app: Flask, officer: m.User) -> None:
    assert visit(app, officer).get("/account/").location == "/tf-setup"


def test_the_password_alone_opens_nothing(app: Flask, officer: m.User) -> None:
    _set_up(anonymous(app), officer)
    client = anonymous(app)
    assert sign_in(client, officer.email).location == "/tf-validate?next=/"
    assert client.get("/account/").location.startswith("/login")


def test_a_code_works_once(app: Flask, officer: m.User) -> None:
    key, _ = _set_up(anonymous(app), officer)
    with time_machine.travel(now() + timedelta(minutes=5), tick=True):
        code = _code(key)
        first, second = anonymous(app), anonymous(app)
        sign_in(first, officer.email), sign_in(second, officer.email)
        assert first.post("/tf-validate", data={"code": code}).location == "/"
        assert second.post("/tf-validate", data={"code": code}).status_code == 200
        assert second.get("/account/").location.startswith("/login")


def test_an_old_code_is_refused(app: Flask, officer: m.User) -> None:
    key, _ = _set_up(anonymous(app), officer)
    client = anonymous(app)
    sign_in(client, officer.email)
    assert client.post("/tf-validate", data={"code": _code(key, later=-300)}).status_code == 200


def test_wrong_codes_lock_the_account_and_then_the_right_one_is_refused(app: Flask, officer: m.User) -> None:
    key, codes = _set_up(anonymous(app), officer)
    client = anonymous(app)
    sign_in(client, officer.email)
    for _ in range(10):
        client.post("/tf-validate", data={"code": "000000"})
    with time_machine.travel(now() + timedelta(minutes=5), tick=True):
        assert client.post("/tf-validate", data={"code": _code(key)}).status_code == 200
        assert client.post("/mf-recovery", data={"code": codes[0]}).status_code == 200


def test_a_recovery_code_signs_in_once(app: Flask, officer: m.User) -> None:
    _, codes = _set_up(anonymous(app), officer)
    client = anonymous(app)
    sign_in(client, officer.email)
    assert client.post("/mf-recovery", data={"code": codes[3].upper().replace("-", " ")}).location == "/"
    again = anonymous(app)
    sign_in(again, officer.email)
    assert again.post("/mf-recovery", data={"code": codes[3]}).status_code == 200
    assert again.post("/mf-recovery", data={"code": codes[4]}).location == "/"


def test_recovery_codes_are_kept_as_hashes_and_never_shown_again(app: Flask, officer: m.User) -> None:
    client = anonymous(app)
    _, codes = _set_up(client, officer)
    with app.app_context():
        kept = session.scalar(select(m.User).where(m.User.id == officer.id)).mf_recovery_codes
    assert len(kept) == 10 and not any(code in str(kept) or code.replace("-", "") in str(kept) for code in codes)
    for address in ("/mf-recovery-codes", "/mf-recovery-codes?show_codes=1"):
        page = client.get(address).text
        assert not any(code in page for code in codes) and not any(hash in page for hash in kept)


def test_a_recovery_code_without_a_password_first_is_nothing(app: Flask, officer: m.User) -> None:
    _, codes = _set_up(anonymous(app), officer)
    assert anonymous(app).post("/mf-recovery", data={"code": codes[0]}).location == "/login"


def test_anyone_may_set_up_a_second_factor_and_staff_cannot_remove_theirs(app: Flask, officer: m.User) -> None:
    with app.app_context():
        agent = factories.make_member(factories.make_organization(), "agent")
    client = visit(app, agent)
    page = client.post("/tf-setup", data={"setup": "authenticator"}).text
    finish = re.search(r'action="(/tf-setup/[^"]+)"', page)[1]
    client.post(finish, data={"code": _code(_key(page))})
    assert "disable" in client.get("/tf-setup").text
    client.post("/tf-setup", data={"setup": "disable"})
    with app.app_context():
        assert session.scalar(select(m.User).where(m.User.id == agent.user_id)).tf_primary_method is None
    staff = anonymous(app)
    _set_up(staff, officer)
    assert "disable" not in staff.get("/tf-setup").text
    staff.post("/tf-setup", data={"setup": "disable"})
    with app.app_context():
        assert session.scalar(select(m.User).where(m.User.id == officer.id)).tf_primary_method == "authenticator"


def test_the_secret_is_encrypted_and_the_qr_code_needs_no_exception_from_the_policy(app: Flask, officer: m.User) -> None:
    client = anonymous(app)
    sign_in(client, officer.email)
    answer = client.post("/tf-setup", data={"setup": "authenticator"})
    assert "<svg" in answer.text and "data:" not in answer.text
    assert "data:" not in answer.headers["Content-Security-Policy"]
    client.post("/tf-validate", data={"code": _code(_key(answer.text))})
    with app.app_context():
        secret = session.scalar(select(m.User).where(m.User.id == officer.id)).tf_totp_secret
    assert _key(answer.text).replace("-", "") not in secret


def test_sensitive_pages_ask_for_the_password_again_after_a_while(app: Flask) -> None:
    with app.app_context():
        agent = factories.make_member(factories.make_organization(), "agent")
    client = visit(app, agent)
    assert client.get("/tf-setup").status_code == 200
    with client.session_transaction() as cookie:
        cookie["fs_paa"] -= 3600
        cookie.pop("fs_gexp", None)
    asked = client.get("/tf-setup")
    assert asked.status_code == 302 and asked.location.startswith("/verify?next=")
    assert client.get(asked.location).status_code == 200
    assert client.post("/verify", data={"password": "wrong wrong wrong"}).status_code == 200
    assert client.post(asked.location, data={"password": PASSWORD}).location == "/tf-setup"
    assert client.get("/tf-setup").status_code == 200


def test_a_locked_account_can_be_opened_by_the_letter(app: Flask, officer: m.User) -> None:
    from whatalker.mail import mail

    with app.app_context(), transaction():
        session.execute(update(m.User).where(m.User.id == officer.id).values(locked_until=now() + timedelta(minutes=15)))
    with mail.record_messages() as letters:
        anonymous(app).post("/reset", data={"email": officer.email})
    assert len(letters) == 1
