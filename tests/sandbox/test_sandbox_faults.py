"""The switchboard: every fault happens as set, before or after acceptance, and the ledger tells which."""

import json
import socket
import time
from typing import Any

import pytest

from .conftest import NUMBER, SHEENA, TOKEN, Product, Sandbox


def accepted(sandbox: Sandbox) -> int:
    return int(sandbox.control("GET", "ledger/summary")["accepted"])


def next_call(sandbox: Sandbox, do: str, **more: Any) -> None:
    sandbox.control("PUT", "faults", {"next": [{"do": do, **more}]})


@pytest.mark.parametrize(
    ("do", "status", "taken"),
    [
        ("rate_429", 429, 0),
        ("error_before", 500, 0),
        ("reset_before", 0, 0),
        ("hang", 0, 0),
        ("error_after", 500, 1),
        ("reset_after", 0, 1),
        ("hang_after", 0, 1),
        ("malformed", 200, 1),
    ],
)
def test_one_fault_happens_to_one_call(sandbox: Sandbox, do: str, status: int, taken: int) -> None:
    sandbox.control("PUT", "faults", {"hang_ms": 50})
    next_call(sandbox, do)
    answer = sandbox.text(biz_opaque_callback_data="k:1")
    assert answer.status == status
    assert accepted(sandbox) == taken
    entries = sandbox.control("GET", "ledger")["entries"]
    assert [entry["fault"] for entry in entries if entry["kind"] == "call" and "fault" in entry] == [do]
    assert sandbox.text().status == 200
    if do == "malformed":
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.raw)
    if taken:
        row = next(entry for entry in entries if entry["kind"] == "accepted")
        assert (row["key"], row["answer"]) == ("k:1", do)


def test_an_accepted_message_whose_answer_was_lost_still_gets_its_ticks(sandbox: Sandbox, product: Product) -> None:
    sandbox.says()
    next_call(sandbox, "reset_after")
    assert sandbox.text(biz_opaque_callback_data="m:1").status == 0
    assert sandbox.quiet()
    assert [status["status"] for status in product.statuses()] == ["sent", "delivered", "read"]
    assert product.statuses()[0]["biz_opaque_callback_data"] == "m:1"


def test_429_carries_code_130429(sandbox: Sandbox) -> None:
    next_call(sandbox, "rate_429")
    assert sandbox.text().error["code"] == 130429


def test_any_code_of_meta_can_be_the_next_answer(sandbox: Sandbox) -> None:
    sandbox.control(
        "PUT",
        "faults",
        {"next": [{"do": "code", "code": 131000, "times": 2}, {"do": "ok"}, {"do": "code", "code": 368}]},
    )
    answers = [sandbox.text() for _ in range(5)]
    codes = [answer.error["code"] if answer.status != 200 else 200 for answer in answers]
    assert codes == [131000, 131000, 200, 368, 200]
    assert [answer.status for answer in answers] == [500, 500, 200, 403, 200]


def test_shares_are_kept_and_a_seed_repeats_the_run(sandbox: Sandbox) -> None:
    def run() -> list[int]:
        sandbox.control("PUT", "faults", {"seed": 11, "rate_429": 0.3, "error_before": 0.2})
        return [sandbox.text().status for _ in range(60)]

    first = run()
    assert first == run()
    assert 8 <= first.count(429) <= 28 and 4 <= first.count(500) <= 22


def test_a_recipient_can_fail_later_or_at_once(sandbox: Sandbox, product: Product) -> None:
    sandbox.control(
        "PUT", "faults", {"fail": {SHEENA: {"code": 131026}, "34600000000": {"code": 131030, "how": "answer"}}}
    )
    assert sandbox.text(to="+34600000000").error["code"] == 131030
    assert sandbox.text().status == 200
    assert sandbox.quiet()
    assert product.statuses()[0]["errors"][0]["code"] == 131026


def test_the_pair_limit_is_131056_for_that_pair_only(sandbox: Sandbox) -> None:
    sandbox.control("PUT", "faults", {"pair_limit": {"count": 1, "seconds": 0.3}})
    assert sandbox.text().status == 200
    refused = sandbox.text()
    assert (refused.status, refused.error["code"]) == (429, 131056)
    assert sandbox.text(to="+34600000000").status == 200
    time.sleep(0.35)
    assert sandbox.text().status == 200


def test_latency_is_taken(sandbox: Sandbox) -> None:
    sandbox.control("PUT", "faults", {"latency_ms": [80, 90]})
    begun = time.monotonic()
    sandbox.text()
    assert 0.08 <= time.monotonic() - begun < 0.5


def test_faults_of_messages_do_not_touch_other_calls(sandbox: Sandbox) -> None:
    heard = sandbox.says()
    sandbox.control("PUT", "faults", {"error_before": 1.0})
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": heard}
    assert sandbox.call("POST", f"/v23.0/{NUMBER}/messages", read).status == 200
    assert sandbox.call("GET", f"/v23.0/{NUMBER}").status == 200
    sandbox.control("PUT", "faults", {"scope": ["numbers"]})
    assert sandbox.call("GET", f"/v23.0/{NUMBER}").status == 500
    assert sandbox.text().status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_429": 2},
        {"rate_429": True},
        {"surprise": 1},
        {"scope": ["all"]},
        {"next": [{"do": "sing"}]},
        {"latency_ms": "slow"},
        {"fail": {"1": {}}},
        {"rate_429": 0.6, "error_before": 0.6},
        {"pair_limit": {"count": 1}},
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_in_a_sentence_and_changes_nothing(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    before = sandbox.control("GET", "faults")
    answer = sandbox.call("PUT", "/_sandbox/faults", wrong, token=None)
    assert answer.status == 400 and answer.json["error"].endswith(".")
    assert sandbox.control("GET", "faults") == before


@pytest.mark.parametrize(
    "wrong", [{"window": "ajar"}, {"batch": 0}, {"reads": 2}, {"sent_ms": -1}, {"mood": 1}], ids=str
)
def test_a_wrong_behaviour_is_refused(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    assert sandbox.call("PUT", "/_sandbox/behaviour", wrong, token=None).status == 400


def test_the_ledger_counts_keys_accepted_twice(sandbox: Sandbox) -> None:
    for key in ("a", "b", "a"):
        sandbox.text(biz_opaque_callback_data=key)
    summary = sandbox.control("GET", "ledger/summary")
    assert (summary["accepted"], summary["keys"], summary["keys_seen_twice"]) == (3, 2, {"a": 2})
    page = sandbox.control("GET", "ledger?kind=accepted&limit=2")
    rest = sandbox.control("GET", f"ledger?kind=accepted&since={page['last']}")
    assert [entry["key"] for entry in page["entries"] + rest["entries"]] == ["a", "b", "a"]
    assert page["entries"][0]["body"]["text"]["body"] == "Hello"


def test_control_is_json_from_this_machine_only(sandbox: Sandbox) -> None:
    foreign = sandbox.call("POST", "/_sandbox/reset", {}, token=None, Host="evil.example")
    other_page = sandbox.call("POST", "/_sandbox/reset", {}, token=None, Origin="https://evil.example")
    form = sandbox.call(
        "POST",
        "/_sandbox/phone/messages",
        "from=1",
        token=None,
        **{"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (foreign.status, other_page.status, form.status) == (403, 403, 400)


def test_a_caller_that_hangs_up_is_booked_too(sandbox: Sandbox) -> None:
    sandbox.control("PUT", "faults", {"hang_ms": 60_000})
    next_call(sandbox, "hang_after")
    body = json.dumps({"messaging_product": "whatsapp", "to": SHEENA, "text": {"body": "Hi"}}).encode()
    head = f"POST /v23.0/{NUMBER}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.port)) as caller:
        caller.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.1)
    time.sleep(0.1)
    entries = sandbox.control("GET", "ledger")["entries"]
    assert [
        (entry["kind"], entry.get("fault"), entry.get("answer")) for entry in entries if entry["kind"] != "webhook"
    ] == [
        ("accepted", None, "hang_after"),
        ("call", "hang_after", None),
    ]
