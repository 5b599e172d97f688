"""What every answer carries, and how errors answer: to a person, to htmx and to a program."""

from __future__ import annotations

import re

import pytest
from flask import Flask, abort
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.factories import People
from tests.visiting import anonymous, visit
from whatalker import create_app, security
from whatalker.access import Permission
from whatalker.db import session
from whatalker.errors import Conflict, Invalid, NotAllowed, NotFound, ProviderError

SECRET = "573001234567 Ana Perez EAAGm0PX4ZCpsBA"


@pytest.fixture(scope="module")
def stumbling(whole_app: Flask) -> Flask:
    """An application with addresses that fail in every way one can."""
    app = create_app("config.TestConfig")
    failures = {
        "invalid": Invalid("The name is missing."),
        "absent": NotFound("There is nothing here."),
        "refused": NotAllowed("That is for owners."),
        "late": Conflict("Somebody was faster."),
        "provider": ProviderError("Meta said no.", outcome="refused"),
        "broken": ValueError(SECRET),
        "database": OperationalError("select 1", {}, Exception(SECRET)),
        "redis": RedisAway(SECRET),
    }

    def fail(name: str) -> str:
        if name.isdigit():
            abort(int(name))
        if name == "sql":
            session.execute(text("select * from nowhere where phone = '573001234567'"))
        raise failures[name]

    app.add_url_rule("/fail/<name>", "fail", security.public("a test makes it fail")(fail), methods=["GET", "POST"])
    app.add_url_rule("/undeclared", "undeclared", lambda: "you should not read this")
    app.add_url_rule("/relaxed", "relaxed", security.public("a test relaxes it")(_relaxed))
    app.add_url_rule("/mine", "mine", security.guard(Permission.INBOX_OPEN)(lambda: "mine"), methods=["GET", "POST"])
    return app


def _relaxed() -> str:
    security.relax("img-src", "data:")
    return f'<script nonce="{security.csp_nonce()}"></script>'


STATUSES = {
    "invalid": 422, "absent": 404, "refused": 403, "late": 409, "provider": 502, "broken": 500, "database": 503, "redis": 503,
    "sql": 500, "400": 400, "403": 403, "404": 404, "405": 405, "409": 409, "413": 413, "415": 415, "422": 422, "429": 429,
    "500": 500, "503": 503, "418": 418,
}  # fmt: skip


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_every_error_is_a_page_with_a_title_a_way_on_and_a_reference(stumbling: Flask, name: str, status: int) -> None:
    answer = stumbling.test_client().get(f"/fail/{name}", headers={"X-Request-ID": "0f8e-reference"})
    assert answer.status_code == status
    assert "<h1>" in answer.text and 'href="/"' in answer.text
    assert "0f8e-reference" in answer.text and answer.headers["X-Request-ID"] == "0f8e-reference"


@pytest.mark.parametrize("name", STATUSES)
def test_no_answer_and_no_log_line_tells_a_trace_sql_or_what_somebody_typed(stumbling: Flask, name: str, capfd) -> None:
    for headers in ({}, {"Accept": "application/json"}, {"HX-Request": "true"}):
        answer = stumbling.test_client().get(f"/fail/{name}", headers=headers)
        for told in ("Traceback", "select ", "File ", "nowhere", "573001234567", "Ana Perez", "EAAG", "psycopg", "sqlalchemy"):
            assert told not in answer.text
    written = capfd.readouterr().err
    for told in ("573001234567", "Ana Perez", "EAAGm0PX4ZCpsBA"):
        assert told not in written


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_a_program_gets_json_and_htmx_a_fragment(stumbling: Flask, name: str, status: int) -> None:
    answer = stumbling.test_client().get(f"/fail/{name}", headers={"Accept": "application/json"})
    assert answer.status_code == status and answer.json["error"]["status"] == status
    assert answer.json["error"]["code"] and answer.json["error"]["message"] and answer.json["error"]["reference"]
    answer = stumbling.test_client().get(f"/fail/{name}", headers={"HX-Request": "true"})
    assert answer.status_code == status and "<html" not in answer.text and answer.headers["HX-Retarget"] == "#notices"


def test_a_signed_out_person_is_led_to_sign_in_and_a_program_is_told(stumbling: Flask) -> None:
    client = stumbling.test_client()
    assert client.get("/mine").location == "/login?next=/mine"
    assert client.get("/mine", headers={"Accept": "application/json"}).status_code == 401
    answer = client.get("/mine", headers={"HX-Request": "true"})
    assert answer.status_code == 401 and answer.headers["HX-Redirect"] == "/login?next=/mine"


def test_an_address_without_a_declared_guard_is_closed(stumbling: Flask, people: People) -> None:
    assert anonymous(stumbling).get("/undeclared").status_code == 404
    assert visit(stumbling, people.owner).get("/undeclared").status_code == 404


def test_a_missing_permission_is_named_and_refused(stumbling: Flask, people: People) -> None:
    developer = visit(stumbling, people.owner)
    assert developer.get("/mine").text == "mine"
    answer = anonymous(stumbling).get("/mine")
    assert answer.status_code == 303


def test_every_form_without_its_token_is_refused(stumbling: Flask, people: People) -> None:
    client = visit(stumbling, people.owner)
    assert client.post("/mine").text == "mine"
    with client.session_transaction() as cookie:
        saved = dict(cookie)
    plain = stumbling.test_client()
    with plain.session_transaction() as cookie:
        cookie.update(saved)
    assert plain.post("/mine").status_code == 400
    assert plain.post("/mine", data={"csrf_token": "made up"}).status_code == 400
    assert plain.get("/mine").status_code == 200


HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip


@pytest.mark.parametrize("address", ["/login", "/fail/404", "/fail/500", "/nowhere", "/healthz", "/mine", "/static/x/base.css"])
def test_every_answer_carries_the_security_headers(stumbling: Flask, address: str) -> None:
    answer = stumbling.test_client().get(address)
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy and "data:" not in policy
    assert "Permissions-Policy" in answer.headers


def test_a_nonce_is_new_for_each_answer_and_a_relaxation_holds_for_one(stumbling: Flask) -> None:
    first, second = (stumbling.test_client().get("/relaxed") for _ in range(2))
    nonces = [re.search(r"nonce-([\w-]+)", answer.headers["Content-Security-Policy"])[1] for answer in (first, second)]
    assert nonces[0] != nonces[1] and nonces[0] in first.text
    assert "img-src 'self' data:" in first.headers["Content-Security-Policy"]
    assert "data:" not in stumbling.test_client().get("/login").headers["Content-Security-Policy"]


def test_pages_are_kept_by_nobody_and_assets_for_ever(app: Flask) -> None:
    client = app.test_client()
    page = client.get("/login")
    assert page.headers["Cache-Control"] == "private, no-store"
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
        answer = client.get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
    assert client.get("/static/000000000000/htmx.js").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["../__init__.py", "..%2f__init__.py", "nothing.css", "../../config.py", "/etc/passwd"])
def test_only_static_files_are_served_as_such(app: Flask, name: str) -> None:
    assert app.test_client().get(f"/static/x/{name}").status_code in (404, 308)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:80@evil.example", "", "localhost, evil.example"])
def test_another_host_is_not_served(app: Flask, host: str) -> None:
    answer = app.test_client().get("/login", headers={"Host": host})
    assert answer.status_code == 400 and "evil" not in answer.text and "X-Content-Type-Options" in answer.headers


def test_over_https_the_cookie_is_bound_to_the_host_and_browsers_are_told_to_stay(environment, whole_app, monkeypatch) -> None:
    import config

    secure = config.read({**environment, "PUBLIC_URL": "https://crm.example.com", "ENVIRONMENT": "test"})

    class Secure(config.TestConfig):
        pass

    for name, value in secure.items():
        setattr(Secure, name, value)
    app = create_app(Secure)  # type: ignore[arg-type]
    answer = app.test_client().get("/login", headers={"Host": "crm.example.com"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-whatalker=") and "Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert "Path=/" in cookie and "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=63072000")


def test_over_plain_http_no_promise_of_https_is_made(app: Flask) -> None:
    assert "Strict-Transport-Security" not in app.test_client().get("/login").headers


def test_a_body_that_is_too_large_is_refused_before_it_is_read(app: Flask) -> None:
    answer = app.test_client().post(
        "/login", content_type="application/x-www-form-urlencoded",
        environ_overrides={"wsgi.input": _Endless(), "CONTENT_LENGTH": str(18 * 1024 * 1024)},
    )  # fmt: skip
    assert answer.status_code == 413


class _Endless:
    def read(self, size: int = -1) -> bytes:
        raise AssertionError("It was read.")


@pytest.mark.parametrize("junk", ["a" * 600_000, "x=1&" * 3000, "\x00", "%00", "email=%ff%fe&password=%c3%28", "email[]=1", "=&=&="])
def test_junk_in_forms_is_refused_and_never_a_500(app: Flask, junk: str) -> None:
    answer = anonymous(app).post("/login", data=junk.encode("latin-1"), content_type="application/x-www-form-urlencoded")
    assert answer.status_code in (200, 400, 413, 422)


@pytest.mark.parametrize("given", ["573001234567", "a b", "x" * 65, "ana@example.com", "1", "<script>"])
def test_a_request_id_that_tells_something_or_is_none_is_replaced(app: Flask, given: str) -> None:
    assert app.test_client().get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] != given
