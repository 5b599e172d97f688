"""Signing in with a password: what is told, what is counted, what is locked."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests import factories
from tests.factories import PASSWORD
from tests.visiting import anonymous, sign_in, visit
from whatalker import models as m
from whatalker.db import now, session, transaction
from whatalker.security import throttles
from whatalker.tenancy import across


@pytest.fixture
def generous(app: Flask):
    """Without rate limits, so that a test of something else may try often."""
    throttles.limiter.enabled = False
    yield
    throttles.limiter.enabled = True


def _person(app: Flask, **values: object) -> m.User:
    with app.app_context():
        organization = factories.make_organization()
        actor = factories.make_member(organization, "agent", **values)
        return session.scalar(select(m.User).where(m.User.id == actor.user_id))


def _again(app: Flask, person: m.User) -> m.User:
    with app.app_context():
        return session.scalar(select(m.User).where(m.User.id == person.id))


def _actions(app: Flask) -> list[str]:
    with app.app_context(), across("test"):
        return list(session.scalars(select(m.AuditEvent.action).order_by(m.AuditEvent.at, m.AuditEvent.id)))


def test_a_person_signs_in_and_comes_to_their_inbox(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    answer = sign_in(client, person.email)
    assert (answer.status_code, answer.location) == (302, "/")
    assert client.get("/").location == "/inbox"
    assert client.get("/account/").status_code == 200
    assert _actions(app) == ["sign_in.succeeded"]


def test_the_email_is_taken_in_any_case(app: Flask) -> None:
    _person(app, email="Ana.Perez@Example.com")
    assert sign_in(anonymous(app), "ana.perez@EXAMPLE.com").location == "/"


def test_the_token_of_the_cookie_is_stored_nowhere(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    sign_in(client, person.email)
    with client.session_transaction() as cookie:
        token = cookie["browser"]
    with app.app_context():
        row = session.scalar(select(m.UserSession).where(m.UserSession.user_id == person.id))
        assert token not in str(vars(row))


def test_signing_in_makes_a_new_session_and_a_new_form_token(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    with client.session_transaction() as cookie:
        cookie["browser"] = "planted by somebody"
        before = cookie["csrf_token"] = "0" * 40
    sign_in(client, person.email)
    with client.session_transaction() as cookie:
        assert cookie["browser"] != "planted by somebody"
        assert cookie.get("csrf_token") != before


@pytest.mark.parametrize("who", ["nobody", "wrong password", "inactive", "locked", "without a password"])
def test_every_refusal_reads_the_same(app: Flask, generous: None, who: str) -> None:
    person = _person(app, **{"inactive": {"active": False}, "without a password": {"password": None}}.get(who, {}))
    if who == "locked":
        with app.app_context(), transaction():
            session.execute(update(m.User).values(locked_until=now().replace(year=now().year + 1)))
    password = "not the right one at all" if who == "wrong password" else PASSWORD
    answer = sign_in(anonymous(app), "nobody@example.com" if who == "nobody" else person.email, password)
    other = sign_in(anonymous(app), "somebody-else@example.com", "another wrong one here")
    assert answer.status_code == other.status_code == 200
    assert _without_what_was_typed(answer.text) == _without_what_was_typed(other.text)


def _without_what_was_typed(page: str) -> str:
    import re

    return re.sub(r'value="[^"]*"', "", page)


def test_ten_wrong_passwords_lock_the_account_for_a_while_and_the_right_one_is_refused_too(app: Flask, generous: None) -> None:
    person, client = _person(app), anonymous(app)
    for _ in range(9):
        sign_in(client, person.email, "wrong wrong wrong")
    assert _again(app, person).failed_sign_ins == 9
    assert _again(app, person).locked_until is None
    sign_in(client, person.email, "wrong wrong wrong")
    assert _again(app, person).locked_until > now()
    assert sign_in(client, person.email).status_code == 200
    assert client.get("/account/").status_code == 303
    assert "sign_in.locked" in _actions(app)
    with app.app_context(), transaction():
        session.execute(update(m.User).values(locked_until=now()))
    assert sign_in(client, person.email).status_code == 302
    assert _again(app, person).failed_sign_ins == 0


def test_trying_often_is_stopped_before_the_password_is_looked_at(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    answers = [sign_in(client, person.email, "wrong wrong wrong").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    assert _again(app, person).failed_sign_ins == 0  # ten failures lock, and the count begins again
    # The limit is by account, and the same for an account that does not exist.
    other = [sign_in(client, "nobody@example.com", "wrong wrong wrong").status_code for _ in range(11)]
    assert other == [200] * 10 + [429]


def test_one_address_cannot_try_many_accounts(app: Flask) -> None:
    client = anonymous(app)
    answers = [sign_in(client, f"person{number}@example.com", "wrong wrong wrong").status_code for number in range(31)]
    assert answers == [200] * 30 + [429]


def test_limits_still_hold_while_redis_is_away(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    storage = throttles.limiter._storage
    real, storage.storage = storage.storage, _Broken()
    try:
        with app.app_context():
            answers = []
        answers = [sign_in(client, person.email, "wrong wrong wrong").status_code for _ in range(12)]
    finally:
        storage.storage = real
        throttles.limiter._storage_dead = False
    assert 500 not in answers


class _Broken:
    def __getattr__(self, name: str) -> object:
        from redis.exceptions import ConnectionError

        raise ConnectionError("away")


def test_a_wrong_or_missing_form_token_is_refused_with_a_sentence(app: Flask) -> None:
    person = _person(app)
    answer = sign_in(app.test_client(), person.email)
    assert answer.status_code == 400 and "expired" in answer.text


@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https://evil.example", "\\\\evil.example", "javascript:alert(1)", "/\t/evil.example",
           "http:evil.example", "///evil.example", "inbox", "/a b"],
)  # fmt: skip
def test_next_leads_only_to_paths_of_our_own(app: Flask, to: str) -> None:
    person, client = _person(app), anonymous(app)
    answer = client.post("/login", query_string={"next": to}, data={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 400
    assert client.get("/login", query_string={"next": to}).status_code == 400


def test_after_signing_in_the_page_that_was_asked_for_opens(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    asked = client.get("/account/sessions")
    assert asked.status_code == 303
    answer = client.post(asked.location, data={"email": person.email, "password": PASSWORD})
    assert answer.location == "/account/sessions"


def test_signing_in_takes_a_form_and_nothing_else(app: Flask) -> None:
    person = _person(app)
    answer = anonymous(app).post("/login", json={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 415


def test_there_is_no_other_way_in(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    with app.test_request_context():
        token = _again(app, person).get_auth_token()
    assert client.get("/account/", headers={"Authentication-Token": token}).status_code == 303
    assert client.get(f"/account/?auth_token={token}").status_code == 303


def test_signing_out_ends_the_session_even_for_a_stolen_cookie(app: Flask) -> None:
    person, client = _person(app), anonymous(app)
    sign_in(client, person.email)
    with client.session_transaction() as cookie:
        stolen = dict(cookie)
    with client.session_transaction() as cookie:
        pass
    page = client.get("/account/").text
    import re

    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    assert client.post("/logout", data={"csrf_token": token}).status_code == 302
    thief = app.test_client()
    with thief.session_transaction() as cookie:
        cookie.update(stolen)
    assert thief.get("/account/").status_code == 303
    assert "sign_out.done" in _actions(app)


def test_signing_out_by_a_link_does_nothing(app: Flask) -> None:
    client = visit(app, _person(app))
    assert client.get("/logout").status_code == 405
    assert client.get("/account/").status_code == 200
