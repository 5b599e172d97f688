"""The access matrix: every address, method and admin action of the running application, tried as one person on every kind of object.

What is expected follows from the declared guards alone; nothing here lists which role may do what.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import Flask
from sqlalchemy import update

from tests import factories
from tests.admin.worlds import House, World, make_world
from tests.visiting import Browser, anonymous, visit
from whatalker import access
from whatalker import models as m
from whatalker.access import ROLES, Actor, Permission
from whatalker.db import session, transaction
from whatalker.security import Guard, guard_of
from whatalker.services import shelving
from whatalker.tenancy import across, as_organization

CUSTOM = ("inbox:open", "admin:open", "conversation:read_team", "contact:read", "user:read")
MEMBERS = ("viewer", "agent", "developer", "team_lead", "admin", "owner", "custom")
STAFF = ("back_office", "compliance_officer", "platform_admin")
WHO = ("anonymous", *MEMBERS, *STAFF, *(f"{name} reading ours" for name in STAFF), *(f"{name} reading all" for name in STAFF))

ARGUMENTS: dict[str, type] = {
    "conversation_id": m.Conversation, "message_id": m.Message, "template_id": m.Template, "attachment_id": m.Attachment,
    "browser_id": m.UserSession,
}  # fmt: skip
WORDS = {"export_type": "csv", "filename": "x.css", "name": "base.css", "version": "x", "token": "x"}
DESTROY = ("delete", "end_session", "action", "cancel", "block", "end_other", "stop_reading", "logout")
"""What takes away what others need comes last, in this order."""
EMPTY = {"inbox.row": "the list asks for a row that may have gone, and gets its tabs and counts without the row"}
"""Addresses that answer nothing instead of 404, alike for a foreign and a missing object."""


@dataclass(frozen=True, slots=True)
class Try:
    """One request of the matrix."""

    endpoint: str
    method: str
    object: str
    """own, foreign, missing, or none when the address speaks of no object."""
    path: str
    form: tuple[tuple[str, str], ...] = ()
    kind: type | None = None
    id: str = ""
    """What the address speaks of, so that the visibility table can be asked about it."""
    permission: Permission | None = None
    """What an admin action asks for besides its view."""

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} ({self.object}) {dict(self.form) or ''}"


@dataclass
class Stage:
    """The two organizations, the person on it and the ids that addresses are filled with."""

    app: Flask
    world: World
    who: str
    permissions: frozenset[Permission]
    ids: dict[str, dict[type, str]]
    user_id: uuid.UUID | None = None
    columns: dict[str, Any] | None = None
    reason: str = ""
    actor: Actor = access.NOBODY

    def sees(self, kind: type, id: str) -> bool:
        """Whether the visibility table shows this row to the person: what every face must agree with."""
        with self.app.app_context():
            if self.actor.reason:
                with across("the matrix"):
                    return access.sees(self.actor, kind, uuid.UUID(id))
            with as_organization(self.actor.organization_id or uuid.uuid4()):
                return access.sees(self.actor, kind, uuid.UUID(id))

    def browser(self) -> Browser:
        if self.user_id is None:
            return anonymous(self.app)
        return visit(self.app, self.user_id, reason=self.reason, **self.columns or {})


def set_up(app: Flask, who: str) -> Stage:
    """A world of two organizations and one person of this role in the first."""
    world = make_world(app)
    with app.app_context():
        attached = {house.canary: _furnish(house) for house in (world.ours, world.theirs)}
        own, foreign = ({**{kind: str(id) for kind, id in house.rows.items()}, **attached[house.canary]} for house in (world.ours, world.theirs))
        missing = dict.fromkeys({*own, *foreign}, str(uuid.uuid4()))
        stage = Stage(app, world, who, frozenset(), {"own": own, "foreign": foreign, "missing": missing})
        if who == "anonymous":
            return stage
        name, _, reading = who.partition(" reading ")
        if name in STAFF:
            user = factories.make_user(staff_role=name, tf_primary_method="authenticator", tf_totp_secret="x", mf_recovery_codes=["x"])
            stage.user_id, stage.permissions = user.id, ROLES[name].permissions
            stage.reason = "a test of the matrix" if reading else ""
            chosen = world.ours.organization.id if reading == "ours" else None
            stage.columns, stage.actor = {"organization_id_chosen": chosen}, access.staff(user, chosen, stage.reason)
        elif name == "custom":
            stage.actor = _custom(world.ours)
            stage.user_id, stage.permissions = stage.actor.user_id, stage.actor.permissions
        else:
            stage.actor = factories.make_member(world.ours.organization, name)
            stage.user_id, stage.permissions = stage.actor.user_id, stage.actor.permissions
        with transaction():
            mine = m.UserSession(user_id=stage.user_id, token_hash=uuid.uuid4().hex)
            session.add(mine)
        stage.ids["own"][m.UserSession] = str(mine.id)
    return stage


def _furnish(house: House) -> dict[type, str]:
    """What the addresses of the inbox speak of: a conversation that everyone of the organization may see, with a file."""
    organization_id = house.organization.id
    kept = shelving.shelve(organization_id, [f"A file of {house.canary}".encode()], "a.txt")
    with transaction(), as_organization(organization_id):
        session.execute(update(m.Conversation).values(assignee_id=None, team_id=None))
        file = m.Attachment(
            organization_id=organization_id, message_id=house.rows[m.Message], kind="document", filename=f"{house.canary}.txt",
            mime_type="text/plain", state="stored", sha256=kept.sha256, size=kept.size,
        )  # fmt: skip
        session.add(file)
    with transaction():
        browser = m.UserSession(user_id=house.owner.user_id, token_hash=uuid.uuid4().hex, agent=f"Agent {house.canary}")
        session.add(browser)
    return {m.Attachment: str(file.id), m.UserSession: str(browser.id)}


def _custom(house: House) -> Actor:
    with transaction(), as_organization(house.organization.id):
        role = m.Role(organization_id=house.organization.id, name="Custom", rank=30, permissions=list(CUSTOM))
        session.add(role)
    user = factories.make_user()
    factories.make_membership(house.organization, user, role=None, role_id=role.id)
    return Actor(
        kind="user", name="Custom", user_id=user.id, organization_id=house.organization.id, rank=30,
        permissions=frozenset(map(Permission, CUSTOM)),
    )  # fmt: skip


def tries(stage: Stage) -> Iterator[Try]:
    """Every request of the matrix: what only reads first, what destroys last."""
    made = [attempt for rule in stage.app.url_map.iter_rules() for attempt in _of_rule(stage, rule)]
    rank = {word: place for place, word in enumerate(DESTROY, 1)}

    def order(attempt: Try) -> tuple[bool, int, str, str]:
        last = max((place for word, place in rank.items() if word in attempt.endpoint), default=0)
        return attempt.method != "GET", last, attempt.endpoint, attempt.object

    return iter(sorted(made, key=order))


def _of_rule(stage: Stage, rule: Any) -> Iterator[Try]:
    model = getattr(getattr(stage.app.view_functions[rule.endpoint], "__self__", None), "of", None)
    speaks = any(argument in ARGUMENTS for argument in rule.arguments)
    one = model is not None and rule.endpoint.rpartition(".")[2] not in ("index_view", "create_view", "export")
    kinds = ("own", "missing") if model is m.WebhookCall else ("own", "foreign", "missing")
    for kind in kinds if speaks or one else ("none",):
        ids = stage.ids[kind if kind != "none" else "own"]
        values = {name: ids[ARGUMENTS[name]] if name in ARGUMENTS else WORDS[name] for name in rule.arguments}
        with stage.app.test_request_context():
            path = stage.app.url_for(rule.endpoint, _external=False, **values)
        id = _id_of(stage, model, kind) if one else ""
        path = f"{path}?id={id}" if id else path
        spoken = [ARGUMENTS[name] for name in ARGUMENTS if name in rule.arguments]
        about = (model, id) if id else (spoken[-1], ids[spoken[-1]]) if spoken else (None, "")
        for method in sorted(rule.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            if method == "GET":
                yield Try(rule.endpoint, method, kind, path, (), *about)
            else:
                yield from (Try(rule.endpoint, method, kind, path, form, *about, asked) for form, asked in _forms(stage, rule, id))


def _id_of(stage: Stage, model: type, kind: str) -> str:
    if model is m.WebhookCall:
        return str(stage.world.call) if kind == "own" else str(uuid.uuid4())
    return stage.ids[kind][model]


def _forms(stage: Stage, rule: Any, id: str) -> Iterator[tuple[tuple[tuple[str, str], ...], Permission | None]]:
    view = getattr(stage.app.view_functions[rule.endpoint], "__self__", None)
    if rule.endpoint.endswith(".action_view"):
        for action, (handler, *_) in getattr(view, "_actions_data", {}).items():
            yield (("action", action), ("rowid", id)), handler.permission
    else:
        yield (("id", id),) if id else (), None


def answer(browser: Browser, attempt: Try) -> tuple[int, str, str]:
    """The status, where it sends on to, and what it says; of a stream only its beginning."""
    response = browser.open(attempt.path, method=attempt.method, data=dict(attempt.form) or None, buffered=False)
    try:
        if response.mimetype == "text/event-stream" and response.status_code == 200:
            said = next(iter(response.response), b"")
            return response.status_code, "", said.decode() if isinstance(said, bytes) else str(said)
        return response.status_code, response.location or "", response.get_data(as_text=True)
    finally:
        response.close()


def expected(stage: Stage, guard: Guard | None, attempt: Try) -> str:
    """closed, sign in, refused, state a reason, not there, or open: from the guard, the person and the object."""
    if guard is None or guard.kind == "closed":
        return "closed"
    if guard.kind == "public":
        return "signature" if guard.signed and attempt.method == "POST" else "open"
    if stage.user_id is None:
        return "sign in"
    if guard.kind == "signed_in":
        return "not there" if attempt.object in ("foreign", "missing") else "open"
    if guard.missing(stage.permissions):
        return "refused"
    if stage.who in STAFF:
        return "state a reason"
    if attempt.permission and attempt.permission not in stage.permissions:
        return "refused"
    if attempt.object == "none" or (attempt.kind and stage.sees(attempt.kind, attempt.id)):
        return "open"
    return "empty" if attempt.endpoint in EMPTY else "not there"


def verdict(stage: Stage, wanted: str, status: int, location: str, said: str, attempt: Try) -> str:
    """Empty when the answer is what was expected; else what is wrong with it."""
    fits = {
        "closed": status == 404,
        "signature": status in (401, 403),
        "sign in": status == 303 and location.startswith("/login"),
        "refused": status == 403,
        "state a reason": status == 303 and location.startswith("/account/reading"),
        "not there": status == 404,
        "empty": status == 200 and 'id="row-' not in said,
        "open": status < 500 and status != 401 and (attempt.object == "none" or status != 404),
    }
    if status >= 500:
        return f"{status}"
    if not fits[wanted]:
        return f"{wanted} was expected, the answer was {status} {location}"
    may_see_theirs = stage.who.endswith("reading all")
    if stage.world.theirs.canary in said and not may_see_theirs:
        return "it tells of the other organization"
    if wanted in ("closed", "sign in", "state a reason") and stage.world.ours.canary in said:
        return "it tells of an organization although it is refused"
    return ""


def breaches(stage: Stage) -> list[str]:
    """Every cell of this person's part of the matrix whose answer is not the expected one."""
    found, browser, told = [], stage.browser(), {}
    for attempt in tries(stage):
        if attempt.method != "GET" and attempt.endpoint.startswith(("account.", "security.")):
            browser = stage.browser()  # the request before may have signed it out
        wanted = expected(stage, guard_of(stage.app, attempt.endpoint), attempt)
        status, location, said = answer(browser, attempt)
        if wrong := verdict(stage, wanted, status, location, said, attempt):
            found.append(f"{stage.who}: {attempt}: {wrong}")
        if attempt.object in ("foreign", "missing") and not stage.who.endswith("reading all"):
            key = (attempt.endpoint, attempt.method, attempt.form[:1] if attempt.endpoint.endswith("action_view") else ())
            if told.setdefault(key, status) != status:
                found.append(f"{stage.who}: {attempt}: it tells a foreign object from a missing one")
    return found


def searches(stage: Stage) -> list[str]:
    """Searching for the other organization's canary, and all but its last letter, in every list."""
    found, browser = [], stage.browser()
    needle = stage.world.theirs.canary[:-1]
    for rule in stage.app.url_map.iter_rules():
        if rule.arguments - {"export_type"} or "GET" not in rule.methods or rule.endpoint == "live.stream":
            continue
        with stage.app.test_request_context():
            path = stage.app.url_for(rule.endpoint, export_type="csv") if rule.arguments else stage.app.url_for(rule.endpoint)
        for name in ("q", "search", "text", "page", "sort", "flt0_0", "cursor", "after", "since"):
            status, _, said = answer(browser, Try(rule.endpoint, "GET", "none", f"{path}?{name}={needle}"))
            if status >= 500 or stage.world.theirs.canary in said:
                found.append(f"{stage.who}: {path}?{name}= answers {status}")
    return found


def fingerprint(connection: Any, house: House) -> dict[str, str]:
    """Of every row of the organization, so that whatever was changed is seen."""
    tables = [
        row[0] for row in connection.execute("select table_name from information_schema.columns where column_name = 'organization_id' and table_schema = 'public'")
    ]  # fmt: skip
    found = {}
    for table in sorted(tables):
        row = connection.execute(
            f"select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {table} t where organization_id = %s",
            (house.organization.id,),
        ).fetchone()
        found[table] = row[0]
    found["organization"] = json.dumps(
        connection.execute("select t::text from organization t where id = %s", (house.organization.id,)).fetchone()
    )
    return found
