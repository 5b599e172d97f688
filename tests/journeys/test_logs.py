"""What is written about a whole journey: every step can be found by its request id, and nobody can be recognized."""

from __future__ import annotations

import json
import logging
import re
import uuid

import pytest
import structlog
from flask import Flask

from tests import factories
from tests.factories import PASSWORD, People
from tests.visiting import anonymous, sign_in, visit
from whatalker import logs
from whatalker.logs import scrub

CANARIES = {
    "name": "Zacarias Quintero", "email": "zacarias.quintero@example.com", "phone": "573009988776", "text": "Mi pedido secreto",
    "token": "EAAGm0PX4ZCpsBACANARY", "wamid": "wamid.HBgLNTczMDA5OTg4Nzc2FQIAERgS",
}  # fmt: skip


@pytest.fixture
def written(capfd):
    """The lines written since; every one must be JSON."""

    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.strip()]

    return read


def test_a_whole_journey_leaves_no_trace_of_anyone(app: Flask, people: People, written) -> None:
    with app.app_context():
        person = factories.make_member(people.organization, "owner", email=CANARIES["email"], name=CANARIES["name"])
        contact = factories.make_contact(people.organization, phone=CANARIES["phone"], name=CANARIES["name"])
        conversation = factories.make_conversation(people.organization, contact=contact)
        factories.make_message(conversation, text=CANARIES["text"], provider_id=CANARIES["wamid"])
    client = anonymous(app)
    sign_in(client, CANARIES["email"], "wrong wrong wrong")
    sign_in(client, CANARIES["email"])
    for address in (
        "/", "/inbox", f"/inbox/{conversation.id}", f"/inbox?q={CANARIES['phone']}", f"/inbox/search?q={CANARIES['name']}",
        "/admin/", f"/nowhere/{CANARIES['phone']}", f"/account/?email={CANARIES['email']}", "/account/sessions",
    ):  # fmt: skip
        client.get(address, headers={"Referer": f"http://x/?t={CANARIES['token']}", "User-Agent": CANARIES["name"]})
    client.post("/reset", data={"email": CANARIES["email"]})
    client.post("/account/profile", data={"name": CANARIES["name"], "language": "en", "time_zone": "UTC"})
    client.post("/callbacks/whatsapp", json={"entry": [{"changes": [{"value": {"messages": [{"from": CANARIES["phone"]}]}}]}]})
    client.post(f"/inbox/{conversation.id}/reply", data={"text": CANARIES["text"], "client_message_id": str(uuid.uuid4())})
    lines = written()
    assert len(lines) > 12
    everything = json.dumps(lines)
    for what, canary in CANARIES.items():
        assert canary not in everything, what
    assert PASSWORD not in everything and str(person.user_id) in everything
    assert not re.search(r"(?<![-0-9a-f])\d{7,}(?![-0-9a-f])", re.sub(r'"timestamp": "[^"]*"', "", everything))


def test_every_request_is_one_line_with_its_route_and_not_its_address(app: Flask, people: People, written) -> None:
    client = visit(app, people.agent)
    written()
    client.get(f"/inbox/{uuid.uuid4()}?q=secret", headers={"X-Request-ID": "from-outside-1"})
    (line,) = [line for line in written() if line["event"] == "request"]
    assert line["route"].startswith("/inbox/<") and line["request_id"] == "from-outside-1"
    assert line["organization_id"] == str(people.organization.id) and line["status"] == 404 and line["ms"] >= 0
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    "private",
    ["+57 300 998 8776", "573009988776", "(55) 5078-3881", "+1-555-078-3881", "ana@example.com", "Bearer abc.def", "EAAGm0PX4ZCps",
     "wamid.HBgLMTU1NTA3ODM4ODEVAgARGBI", "a" * 43, "300.998.8776"],
)  # fmt: skip
def test_private_things_are_taken_out_wherever_they_stand(private: str) -> None:
    assert private not in scrub(f"before {private} after")
    assert scrub(f"before {private} after").startswith("before [")


@pytest.mark.parametrize("plain", ["took 12345 ms", str(uuid.uuid4()), "whatalker.jobs.dispatch.dispatch", "status 404", "v23.0", "2,048 messages"])
def test_what_tells_nothing_stays(plain: str) -> None:
    assert scrub(plain) == plain


def test_library_lines_and_traces_go_the_same_way(written) -> None:
    logs.configure(readable=False)
    try:
        raise ValueError("the number 573009988776 of Ana")
    except ValueError:
        logging.getLogger("rq.worker").exception("failed for %s", "573009988776")
    structlog.get_logger("x").warning("odd", phone="573009988776", nested={"name": "Ana", "ok": 3}, text="hello", count=12)
    library, ours = written()
    assert library["logger"] == "rq.worker" and library["event"] == "failed for [number]"
    assert library["trace"].endswith("builtins.ValueError") and "Ana" not in library["trace"]
    assert (ours["phone"], ours["nested"], ours["text"], ours["count"]) == ("[removed]", {"name": "[removed]", "ok": 3}, "[removed]", 12)


def test_configuring_twice_writes_once(written) -> None:
    logs.configure(readable=False)
    logs.configure(readable=False)
    structlog.get_logger("x").info("once")
    assert len(written()) == 1


def test_gunicorn_writes_the_same_format(written) -> None:
    from gunicorn.config import Config

    logger = logs.GunicornLogger(Config())
    logger.info("Listening at: %s", "http://127.0.0.1:8000")
    logger.access(None, None, {}, None)
    (line,) = written()
    assert line["logger"] == "gunicorn.error" and line["event"].startswith("Listening")
