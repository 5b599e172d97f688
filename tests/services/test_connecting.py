"""Numbers: connected, stopped, resumed, refreshed; the provider is a real server on loopback, and is never asked in a transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests import factories as f
from tests.visiting import visit
from whatalker import models as m
from whatalker.access import Actor
from whatalker.db import session, transaction
from whatalker.errors import Conflict, Invalid
from whatalker.jobs import numbers
from whatalker.services import connecting
from whatalker.tenancy import across, as_organization

TOKEN = "EAAsecret-token-0123456789"
HEALTH = {
    "id": "106540352242922", "display_phone_number": "+1 555 078 3881", "verified_name": "Jasper's Market",
    "quality_rating": "GREEN", "status": "CONNECTED", "throughput": {"level": "HIGH"},
    "whatsapp_business_manager_messaging_limit": "TIER_10K",
}  # fmt: skip
EXPIRED = {"error": {"message": "Error validating access token", "type": "OAuthException", "code": 190}}


class Graph:
    """The provider: what it answers, and how many transactions were open while it was asked."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.health: tuple[int, Any] = (200, HEALTH)
        self.templates: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.transactions: list[int] = []
        graph, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    graph.asked.append(self.path)
                    open_now = "select count(*) from pg_stat_activity where datname = 'tests' and state like 'idle in transaction%'"
                    graph.transactions.append(connection.execute(open_now).fetchone()[0])
                status, body = (200, {"data": graph.templates}) if "message_templates" in self.path else graph.health
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def graph(app: Flask, owner_connection: psycopg.Connection[Any]) -> Iterator[Graph]:
    provider, before = Graph(owner_connection), app.config["WHATSAPP_API_BASE"]
    app.config["WHATSAPP_API_BASE"] = f"http://127.0.0.1:{provider.server.server_port}/v23.0"
    yield provider
    app.config["WHATSAPP_API_BASE"] = before
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def owner(app: Flask) -> Actor:
    with app.app_context():
        return f.make_member(f.make_organization(), "owner")


FORM = {
    "external_id": "106540352242922",
    "business_id": "102290129340398",
    "access_token": TOKEN,
    "name": "",
    "app_secret": "",
    "team_id": "",
}


def accounts(app: Flask) -> list[m.ChannelAccount]:
    with app.app_context(), across("test"):
        return session.query(m.ChannelAccount).order_by(m.ChannelAccount.id).all()


def test_a_number_is_connected_once_the_provider_has_confirmed_it(app: Flask, graph: Graph, owner: Actor) -> None:
    answer = visit(app, owner).post("/admin/connections/new/", data=FORM)
    assert answer.status_code == 302, answer.get_data(as_text=True)
    (account,) = accounts(app)
    assert (account.name, account.display_number, account.quality) == ("Jasper's Market", "+1 555 078 3881", "GREEN")
    assert (account.messaging_limit, account.throughput, account.state) == ("TIER_10K", 1000, "active")
    assert account.credentials == {"access_token": TOKEN} and graph.transactions == [0]


def test_its_secrets_are_on_no_page_in_no_audit_line_and_not_readable_in_the_database(
    app: Flask, graph: Graph, owner: Actor, owner_connection: psycopg.Connection[Any]
) -> None:
    client = visit(app, owner)
    client.post("/admin/connections/new/", data=FORM)
    (account,) = accounts(app)
    client.post(
        f"/admin/connections/edit/?id={account.id}", data={"name": "New", "team_id": "", "access_token": TOKEN + "2"}
    )
    for path in (
        "connections/",
        f"connections/details/?id={account.id}",
        f"connections/edit/?id={account.id}",
        "audit/",
    ):
        assert TOKEN not in client.get(f"/admin/{path}").get_data(as_text=True)
    stored = owner_connection.execute(
        "select string_agg(t::text, ' ') from (select * from channel_account) t"
    ).fetchone()
    audited = owner_connection.execute("select string_agg(t::text, ' ') from (select * from audit_event) t").fetchone()
    assert TOKEN not in str(stored) and TOKEN not in str(audited) and "credentials" in str(audited)
    assert accounts(app)[0].credentials["access_token"] == TOKEN + "2"


def test_a_token_the_provider_refuses_stores_nothing_and_says_so(app: Flask, graph: Graph, owner: Actor) -> None:
    graph.health = (401, EXPIRED)
    page = visit(app, owner).post("/admin/connections/new/", data=FORM)
    assert page.status_code == 409 and 'value="106540352242922"' in page.get_data(as_text=True)
    assert TOKEN not in page.get_data(as_text=True) and accounts(app) == []


@pytest.mark.parametrize(
    "wrong", [{"external_id": "12a"}, {"business_id": ""}, {"access_token": "a b"}, {"access_token": "short"}]
)
def test_what_cannot_be_a_number_is_refused_before_anybody_is_asked(
    app: Flask, graph: Graph, owner: Actor, wrong: dict[str, str]
) -> None:
    assert visit(app, owner).post("/admin/connections/new/", data=FORM | wrong).status_code in (409, 422)
    assert accounts(app) == [] and graph.asked == []


def test_a_number_belongs_to_one_organization_and_the_other_is_not_named(
    app: Flask, graph: Graph, owner: Actor
) -> None:
    with app.app_context():
        elsewhere = f.make_organization(name="Somebody else")
        f.make_channel_account(elsewhere, external_id="106540352242922", name="Their number")
    page = visit(app, owner).post("/admin/connections/new/", data=FORM).get_data(as_text=True)
    assert "already connected" in page and "Somebody else" not in page and "Their number" not in page
    assert len(accounts(app)) == 1


def test_who_may_only_read_numbers_cannot_connect_one(app: Flask, graph: Graph, owner: Actor) -> None:
    with app.app_context():
        organization = f.make_organization()
        developer = f.make_member(organization, "developer")
    assert visit(app, developer).get("/admin/connections/").status_code == 200
    assert visit(app, developer).post("/admin/connections/new/", data=FORM).status_code == 403


def test_a_token_error_stops_the_number_and_an_account_error_all_of_the_account(app_context: None) -> None:
    organization = f.make_organization()
    actor = f.make_member(organization, "owner")
    first = f.make_channel_account(organization, business_id="777777")
    second = f.make_channel_account(organization, business_id="777777")
    other = f.make_channel_account(organization)
    with transaction(), as_organization(organization.id):
        assert [a.id for a in connecting.stop_number(first, "190", "The token has expired.", actor)] == [first.id]
        assert first.state == "needs_reauth" and first.state_reason == "The token has expired."
        stopped = connecting.stop_number(first, "", "Everything stops.", actor, whole_account=True)
        assert [a.id for a in stopped] == [second.id] and first.state_reason == "The token has expired."
        assert connecting.stop_number(first, "", "Everything stops.", actor, whole_account=True) == []
    with as_organization(organization.id):
        assert session.query(m.AuditEvent).filter_by(action="number.stopped").count() == 2
        assert session.query(m.ChannelAccount).filter_by(id=other.id).one().state == "active"


def test_a_stopped_number_is_resumed_and_a_disconnected_one_is_not(app: Flask, owner: Actor) -> None:
    with app.app_context():
        with as_organization(owner.organization_id):
            organization = session.query(m.Organization).one()
        account = f.make_channel_account(organization)
    client = visit(app, owner)

    def do(action: str) -> str:
        client.post("/admin/connections/action/", data={"action": action, "rowid": str(account.id)})
        return accounts(app)[0].state

    assert [do("stop"), do("stop"), do("resume"), do("disconnect"), do("resume"), do("stop")] == [
        "stopped", "stopped", "active", "disconnected", "disconnected", "disconnected",
    ]  # fmt: skip
    assert accounts(app)[0].credentials == {}
    with app.app_context(), across("test"):
        actions = [line.action for line in session.query(m.AuditEvent).order_by(m.AuditEvent.at)]
    assert [a for a in actions if a.startswith("number.")] == [
        "number.stopped",
        "number.resumed",
        "number.disconnected",
    ]


def remote(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"1{name}",
        "name": name,
        "language": "en_US",
        "status": "APPROVED",
        "category": "UTILITY",
        "components": [],
    } | more


def test_a_refresh_makes_our_templates_equal_to_the_providers(app: Flask, graph: Graph, owner: Actor) -> None:
    visit(app, owner).post("/admin/connections/new/", data=FORM)
    (account,) = accounts(app)
    ids = (str(account.organization_id), str(account.id))
    graph.templates = [remote("stays"), remote("goes"), remote("changes")]
    graph.transactions.clear()
    with app.app_context():
        numbers.refresh_number(*ids)
    graph.templates = [
        remote("stays"),
        remote("changes", status="REJECTED", rejected_reason="INVALID_FORMAT"),
        remote("new"),
    ]
    with app.app_context():
        numbers.refresh_number(*ids)
        numbers.refresh_number(*ids)
    with app.app_context(), across("test"):
        found = {t.name: t for t in session.query(m.Template)}
    assert set(found) == {"stays", "goes", "changes", "new"}
    assert found["goes"].removed_at and not found["stays"].removed_at
    assert (found["changes"].status, found["changes"].status_reason) == ("REJECTED", "INVALID_FORMAT")
    assert graph.transactions and set(graph.transactions) == {0}


def test_a_refresh_that_meets_an_expired_token_stops_the_number_and_a_new_token_starts_it(
    app: Flask, graph: Graph, owner: Actor
) -> None:
    client = visit(app, owner)
    client.post("/admin/connections/new/", data=FORM)
    (account,) = accounts(app)
    ids = (str(account.organization_id), str(account.id))
    graph.health = (401, EXPIRED)
    with app.app_context():
        numbers.refresh_number(*ids)
    assert accounts(app)[0].state == "needs_reauth" and accounts(app)[0].state_reason
    graph.health = (200, HEALTH)
    with app.app_context():
        numbers.refresh_number(*ids)
    assert (accounts(app)[0].state, accounts(app)[0].state_reason) == ("active", "")


def test_a_provider_that_is_away_changes_nothing(app: Flask, graph: Graph, owner: Actor) -> None:
    visit(app, owner).post("/admin/connections/new/", data=FORM)
    (account,) = accounts(app)
    graph.health = (503, {"error": {"message": "down", "code": 2}})
    with app.app_context():
        numbers.refresh_number(str(account.organization_id), str(account.id))
    assert accounts(app)[0].state == "active" and accounts(app)[0].quality == "GREEN"


def test_a_refresh_of_what_is_gone_or_without_token_does_nothing(app: Flask, graph: Graph, owner: Actor) -> None:
    with app.app_context():
        numbers.refresh_number(str(owner.organization_id), str(owner.user_id))
        with as_organization(owner.organization_id):
            organization = session.query(m.Organization).one()
        account = f.make_channel_account(organization, credentials={})
        numbers.refresh_number(str(owner.organization_id), str(account.id))
        with as_organization(owner.organization_id), pytest.raises(Invalid, match="no access token"):
            connecting.sender_of(account)
    assert graph.asked == []


def test_a_read_only_number_cannot_be_resumed_by_hand(app_context: None) -> None:
    organization = f.make_organization()
    actor = f.make_member(organization, "owner")
    account = f.make_channel_account(organization, state="read_only", state_reason="Your plan has one number.")
    with transaction(), as_organization(organization.id), pytest.raises(Conflict, match="Your plan has one number"):
        connecting.resume_number(actor, account)
