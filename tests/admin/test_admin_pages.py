"""What the admin's pages do with odd input, errors, long lists and spreadsheets; none of it shows SQL or a trace."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import event, inspect

from tests import factories as f
from tests.admin.test_admin_vectors import SCREENS, view_of
from tests.admin.worlds import World
from tests.visiting import anonymous, visit
from whatalker import admin
from whatalker import models as m
from whatalker.access import PLATFORM_ONLY, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen
from whatalker.admin.words import PERMISSION_WORDS
from whatalker.db import db, session, transaction
from whatalker.tenancy import across, as_organization

ODD_IDS = ("abc", "1,2", "9" * 40, "", "%00", "\x00", "' or 1=1 --", "../../etc/passwd", "{}", "null", "-1", "1e309")
SPILLED = re.compile(r"Traceback|psycopg|sqlalchemy|SELECT |INSERT |UPDATE |relation \"|\.py\"", re.I)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.address)
def test_odd_ids_and_pages_are_404_and_never_500(whole_app: Flask, world: World, screen: type[Screen]) -> None:
    client, url = visit(whole_app, world.ours.owner), view_of(whole_app, screen.address).url
    for id in ODD_IDS:
        for path in ("details/", "edit/"):
            answer = client.get(f"{url}/{path}", query_string={"id": id})
            assert answer.status_code == 404, (path, id)
            assert not SPILLED.search(answer.get_data(as_text=True))
        assert client.post(f"{url}/delete/", data={"id": id}).status_code == 404
    for query in (
        "page=1", "page=99999999999999999999999999999999999999999", "page=-1", "page=abc", "at=abc", "at=" + "A" * 5000,
        "at=WzAsMV0", "at=bnVsbA", "sort=nothing", "sort=-nothing",
    ):  # fmt: skip
        assert client.get(f"{url}/?{query}").status_code == 404, query
    for name, _label, _words in view_of(whole_app, screen.address).filters():
        assert client.get(f"{url}/", query_string={name: "nonsense' or '1'='1"}).status_code == 404
    for search in ("\x00", "%" * 90, "a" * 5000, "'; drop table x; --", "𒀀" * 60):
        assert client.get(f"{url}/", query_string={"search": search}).status_code == 200


def test_nobody_gets_in_without_signing_in(whole_app: Flask, world: World) -> None:
    client = anonymous(whole_app)
    for rule in whole_app.url_map.iter_rules():
        if rule.rule.startswith("/admin") and not rule.endpoint.endswith(".static"):
            url = rule.rule.replace("<export_type>", "csv")
            answer = client.get(url) if "GET" in (rule.methods or ()) else client.post(url)
            assert answer.status_code in (302, 303, 401) and "canary" not in answer.get_data(as_text=True), url


def test_people_without_the_admin_permission_are_refused(whole_app: Flask, app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        agent = f.make_member(organization, "agent")
    client = visit(app, agent)
    for address in ("", "labels/", "users/", "audit/"):
        assert client.get(f"/admin/{address}").status_code == 403


def test_a_team_lead_does_not_see_what_an_owner_sees(app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        mine, other = f.make_team(organization), f.make_team(organization)
        lead = f.make_member(organization, "team_lead", (mine,))
        seen = f.make_conversation(organization, team_id=mine.id)
        hidden = f.make_conversation(organization, team_id=other.id, last_preview="hidden words")
        message = f.make_message(hidden, text="hidden words")
    client = visit(app, lead)
    page = client.get("/admin/conversations/").get_data(as_text=True)
    assert str(seen.id) in page and str(hidden.id) not in page
    for url in (f"conversations/details/?id={hidden.id}", f"messages/details/?id={message.id}"):
        assert client.get(f"/admin/{url}").status_code == 404
    for url in ("conversations/", "messages/", f"messages/?conversation={hidden.id}"):
        assert "hidden words" not in client.get(f"/admin/{url}").get_data(as_text=True)
    assert client.get("/admin/audit/").status_code == 403
    assert 'href="/admin/audit/"' not in client.get("/admin/").get_data(as_text=True)


@pytest.mark.parametrize("text", [*"=+-@", "\t", "\r", "\n", "＝1", "＋1", "－1", "＠x", " =1+1", "\u00a0=1"])
def test_a_spreadsheet_never_gets_a_formula(text: str) -> None:
    assert cells.guarded(f"{text}1+1").startswith("'")


def test_an_export_holds_guarded_text_and_no_markup(app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        owner = f.make_member(organization, "owner")
        f.make_contact(organization, name='=HYPERLINK("http://x","y")', phone="573001112233")
        f.make_contact(organization, name="<script>alert(1)</script>")
    client = visit(app, owner)
    answer = client.get("/admin/contacts/export/csv/")
    rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True))))
    names = {row[0] for row in rows[1:]}
    assert names == {'\'=HYPERLINK("http://x","y")', "<script>alert(1)</script>"}
    assert answer.mimetype == "text/csv" and "573001112233" not in str(rows)
    assert client.get("/admin/contacts/export/xlsx/").status_code == 404
    assert "<script>alert" not in client.get("/admin/contacts/").get_data(as_text=True)
    with app.app_context(), across("test"):
        assert session.query(m.AuditEvent).filter_by(action="export.taken").count() == 1


def test_every_export_is_bounded() -> None:
    assert all(0 < screen.export_max_rows <= 5000 for screen in admin.screens() if issubclass(screen, Screen))


def test_a_name_that_is_taken_is_said_without_sql_and_the_form_keeps_what_was_typed(app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        owner = f.make_member(organization, "owner")
        f.make_team(organization, name="Sales")
    answer = visit(app, owner).post("/admin/teams/new/", data={"name": "Sales"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409 and 'value="Sales"' in page and "already" in page
    assert not SPILLED.search(page)


def test_a_race_that_only_the_database_notices_is_said_without_sql(app: Flask, new_world: World) -> None:
    view = view_of(app, "labels")
    with app.test_request_context():
        from flask import get_flashed_messages

        with as_organization(new_world.ours.organization.id):

            def twice() -> None:
                session.add_all(
                    [m.Label(organization_id=new_world.ours.organization.id, name="same") for _ in range(2)]
                )
                session.flush()

            assert view.attempt(twice) is None
        (sentence,) = get_flashed_messages()
        assert "Nothing was changed" in sentence and not SPILLED.search(sentence)


def test_a_view_that_raises_type_error_is_called_once(app: Flask) -> None:
    calls: list[int] = []

    def view(self: object) -> None:
        calls.append(1)
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        view_of(app, "labels")._run_view(view)
    assert calls == [1]


def test_values_posted_for_hidden_and_read_only_fields_are_ignored(app: Flask) -> None:
    from werkzeug.datastructures import MultiDict
    from wtforms import HiddenField, StringField

    from whatalker.admin.fields import ScreenForm

    class Half(ScreenForm):
        name = StringField("Name")
        locked = StringField("Locked", render_kw={"readonly": True})
        off = StringField("Off", render_kw={"disabled": True})
        secret = HiddenField("Secret")

    with app.test_request_context():
        form = Half(MultiDict({"name": " a\x00b ", "locked": "x", "off": "x", "secret": "x"}))
        assert form.given() == {"name": "ab"}


def test_a_refusal_of_a_service_shows_its_sentence_and_stores_nothing(app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        owner = f.make_member(organization, "owner")
    client = visit(app, owner)
    answer = client.post(f"/admin/users/edit/?id={owner.membership_id}", data={"role": "viewer"})
    assert answer.status_code == 409 and "Nobody changes their own role" in answer.get_data(as_text=True)
    with app.app_context(), across("test"):
        assert session.query(m.Membership).one().role == "owner"


# ---------------------------------------------------------------- lists


def test_a_list_pages_by_keys_in_both_directions_and_ends(app: Flask) -> None:
    with app.app_context():
        organization = f.make_organization()
        owner = f.make_member(organization, "owner")
        with transaction(), as_organization(organization.id):
            session.add_all([m.Label(organization_id=organization.id, name=f"label {n:03}") for n in range(120)])
            session.flush()
    client, seen, url = visit(app, owner), [], "/admin/labels/"
    pages = [url]
    while url:
        page = client.get(url).get_data(as_text=True)
        seen += re.findall(r">(label \d{3})</a>", page)
        found = re.search(r'href="([^"]+)">Next page', page)
        url = found.group(1).replace("&amp;", "&") if found else ""
        pages.append(url)
    assert seen == [f"label {n:03}" for n in range(120)]
    back = re.search(r'href="([^"]+)">Previous page', page)
    assert back is not None
    names = re.findall(r">(label \d{3})</a>", client.get(back.group(1).replace("&amp;", "&")).get_data(as_text=True))
    assert names == [f"label {n:03}" for n in range(50, 100)]


@pytest.mark.parametrize(
    "screen", [s for s in admin.screens() if issubclass(s, Screen)], ids=lambda screen: screen.address
)
def test_lists_are_sorted_only_by_what_an_index_holds(screen: type[Screen]) -> None:
    table = inspect(screen.of).local_table
    keys = [
        [column.name for column in index.columns]
        for index in (*table.indexes, *table.constraints)
        if hasattr(index, "columns")
    ]
    for order in (screen.order, *screen.sortings.values()):
        names = [column.key for column in order.columns]
        assert names[-1] == "id" and not any(table.c[name].nullable for name in names)
        inside = ["organization_id", *names] if "organization_id" in table.c else names
        # The id at the end only settles ties among equal names, which are unique in their organization.
        assert any(key[: len(inside)] == inside or (key == inside[:-1] and len(key) > 1) for key in keys), names


@contextmanager
def counted() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("address", ["conversations", "messages", "contacts", "users", "decisions", "connections"])
def test_a_longer_list_takes_no_more_queries(app: Flask, address: str) -> None:
    from tests.admin.worlds import _decision

    with app.app_context():
        organization = f.make_organization()
        owner = f.make_member(organization, "owner")

        def add(count: int) -> None:
            for _ in range(count):
                team, agent = f.make_team(organization), f.make_member(organization, "agent")
                conversation = f.make_conversation(organization, team_id=team.id, assignee_id=agent.user_id)
                _decision(organization, f.make_message(conversation, author_id=agent.user_id), "")

        add(2)
    client = visit(app, owner)
    client.get(f"/admin/{address}/")
    counts = []
    for more in (0, 12):
        with app.app_context():
            add(more)
            with counted() as statements:
                assert client.get(f"/admin/{address}/").status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 16, counts


def test_every_permission_an_organization_can_give_has_words() -> None:
    assert set(PERMISSION_WORDS) == set(Permission) - PLATFORM_ONLY


# ---------------------------------------------------------------- the second lock on each door


def test_every_view_asks_again_even_where_nobody_stood_in_front_of_it(app: Flask) -> None:
    from flask import g

    from whatalker.access import NOBODY
    from whatalker.admin.base import Page
    from whatalker.errors import NotAllowed

    with app.app_context():
        agent = f.make_member(f.make_organization(), "agent")
    pages = [view for view in app.extensions["admin"][0]._views if isinstance(view, Page)]
    with app.test_request_context():
        for who in (NOBODY, agent):
            g.actor = who
            for page in pages:
                for rule in page._urls:
                    with pytest.raises(NotAllowed):
                        page._handle_view(rule[-2])


def test_a_developer_opens_the_admin_but_no_conversation(app: Flask) -> None:
    with app.app_context():
        developer = f.make_member(f.make_organization(), "developer")
    client = visit(app, developer)
    assert client.get("/admin/").status_code == 200
    assert [client.get(f"/admin/{address}/").status_code for address in ("conversations", "messages")] == [403, 403]
