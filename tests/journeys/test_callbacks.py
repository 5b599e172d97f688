"""The provider's door: the handshake, the signature over the raw body, 200 once it is stored, and no 500 whatever comes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from tests import factories
from tests.services.provider_calls import all_of, as_body, call_states, every_example, make_number, message, sign
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.jobs.intake import intake
from whatalker.queues import INTAKE, queue

PATH = "/callbacks/whatsapp"


@pytest.fixture
def number(app: Flask) -> m.ChannelAccount:
    with app.app_context():
        return make_number(factories.make_organization())


def count_calls(app: Flask) -> int:
    with app.app_context():
        return sum(call_states().values())


def test_the_handshake_gives_the_challenge_back_to_whoever_knows_the_token(client: Any) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": "test-verify-token", "hub.challenge": "<b>1158201444</b>"}
    answer = client.get(PATH, query_string=asked)
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "<b>1158201444</b>", "text/plain")
    assert "Set-Cookie" not in answer.headers
    for wrong in ({"hub.verify_token": "other"}, {"hub.mode": "unsubscribe"}, {"hub.verify_token": "\ud800é"}, {"hub.verify_token": ""}):
        answer = client.get(PATH, query_string={k: v.encode("utf-8", "replace") for k, v in (asked | wrong).items()})
        assert answer.status_code == 403 and "1158201444" not in answer.text
    assert client.get(PATH).status_code == 403


def test_a_signed_call_is_stored_as_it_came_and_the_bell_is_rung(app: Flask, client: Any) -> None:
    body = json.dumps(message("¿qué tal?"), ensure_ascii=False, indent=1).encode()
    answer = client.post(PATH, data=body, headers=sign(body))
    assert answer.status_code == 200 and "Set-Cookie" not in answer.headers
    with app.app_context():
        with transaction():
            assert session.query(m.WebhookCall).one().body == body
        assert [job.func_name for job in queue(INTAKE).jobs] == ["whatalker.jobs.intake.intake"]


def test_a_call_without_our_signature_is_refused_and_not_stored(app: Flask, client: Any) -> None:
    body = as_body(message())
    good = sign(body)["X-Hub-Signature-256"]
    wrong: list[dict[str, str]] = [
        {}, {"X-Hub-Signature-256": ""}, {"X-Hub-Signature-256": "sha256="}, {"X-Hub-Signature-256": good[:-1]},
        {"X-Hub-Signature-256": good.replace("sha256", "sha1")}, {"X-Hub-Signature": good},
        {"X-Hub-Signature-256": "sha256=" + "é" * 32}, {"X-Hub-Signature-256": sign(body + b" ")["X-Hub-Signature-256"]},
    ]  # fmt: skip
    for headers in wrong:
        assert client.post(PATH, data=body, headers=headers).status_code == 401
    assert client.post(PATH, data=body + b" ", headers=sign(body)).status_code == 401
    assert count_calls(app) == 0


def test_a_call_of_more_than_4_mib_is_refused_and_one_of_3_mb_is_taken(app: Flask, client: Any) -> None:
    big = b" " * (4 * 1024 * 1024 + 1)
    assert client.post(PATH, data=big, headers=sign(big)).status_code == 413
    full = as_body(message("x" * 3_000_000))
    assert client.post(PATH, data=full, headers=sign(full)).status_code == 200
    assert count_calls(app) == 1


def test_other_methods_and_paths_are_not_there(client: Any) -> None:
    assert client.put(PATH).status_code == 405 and client.delete(PATH).status_code == 405
    assert client.get("/callbacks/other").status_code == 404


def test_while_the_database_is_away_the_provider_is_asked_to_come_again(app: Flask, client: Any, owner_connection: Any) -> None:
    body = as_body(message())
    owner_connection.execute("revoke insert on webhook_call from whatalker_app")
    try:
        assert client.post(PATH, data=body, headers=sign(body)).status_code == 503
    finally:
        owner_connection.execute("grant insert on webhook_call to whatalker_app")
    assert client.post(PATH, data=body, headers=sign(body)).status_code == 200


# ---------------------------------------------------------------- hostile bodies

HOSTILE: list[Any] = [
    None, True, 0, -1, 1e308, float("nan"), float("inf"), 2**63, 2**200, -(2**70), "", "\0", "\ud800", "a" * 70_000, "\u202e",
    "9" * 400, [], {}, [[]], {"": None}, ["x"], "1750300100", "-1", "99999999999999999999", {"id": {"id": []}}, "٣٤٥", "null",
]  # fmt: skip


def mutate(value: Any, dice: random.Random, depth: int = 0) -> Any:
    """Some leaves or branches replaced, doubled, renamed or dropped."""
    if dice.random() < 0.04 + 0.01 * depth:
        return dice.choice(HOSTILE)
    if isinstance(value, dict):
        items = [(key, mutate(item, dice, depth + 1)) for key, item in value.items() if dice.random() > 0.02]
        if dice.random() < 0.02:
            items.append((dice.choice(["", "\0", "id", "type", "__class__", "x" * 5000]), dice.choice(HOSTILE)))
        return dict(items)
    if isinstance(value, list):
        return [mutate(item, dice, depth + 1) for item in value for _ in range(dice.choice((1, 1, 1, 1, 2)))]
    return value


def raw(value: Any, dice: random.Random) -> bytes:
    body = json.dumps(value).encode()
    match dice.randrange(14):
        case 0:
            return body[: dice.randrange(len(body) + 1)]
        case 1:
            return b"\xef\xbb\xbf" + body
        case 2:
            return body.decode().encode("utf-16")
        case 3:
            place = dice.randrange(len(body) + 1)
            return body[:place] + dice.randbytes(3) + body[place:]
        case 4:
            return dice.randbytes(dice.randrange(300))
        case 5:
            return b'{"a":' * dice.choice((50, 500, 50_000)) + b"1" + b"}" * 50
        case 6:
            return body.replace(b'"field"', b'"field": "messages", "field"')
        case _:
            return body


@pytest.mark.parametrize("part", range(4))
def test_500_fuzzed_bodies_are_answered_without_a_fault_and_cost_no_genuine_one(
    app: Flask, client: Any, number: Any, part: int
) -> None:
    dice = random.Random(f"intake {part}")
    examples = [body for _name, body in every_example()]
    signed = genuine = 0
    for n in range(500):
        body = raw(mutate(dice.choice(examples), dice), dice)
        is_signed = dice.random() < 0.85
        answer = client.post(PATH, data=body, headers=sign(body) if is_signed else {"X-Hub-Signature-256": "sha256=00"})
        assert answer.status_code == (200 if is_signed else 401)
        signed += is_signed
        if n % 10 == 0:
            body = as_body(message(f"genuine {n}", sender=f"57311{n:07}", id=f"wamid.GENUINE{n}"))
            assert client.post(PATH, data=body, headers=sign(body)).status_code == 200
            genuine += 1
    with app.app_context():
        intake()
        states = call_states()
        assert sum(states.values()) == signed + genuine and not {"waiting", "claimed"} & set(states)
        kept = [row.text for row in all_of(m.Message, number.organization_id) if (row.provider_id or "").startswith("wamid.GENUINE")]
        assert len(kept) == genuine
        with transaction():
            notes = session.scalars(text("select note from webhook_call where note like 'Applying it failed%'")).all()
            assert notes == []  # what cannot be read is known before anything is written
