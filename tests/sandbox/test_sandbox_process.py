"""The process: starts, refuses in one sentence, stops cleanly, and remembers what it is told to."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .conftest import NUMBER, SHEENA, Product, Sandbox
from .test_sandbox_phone import PIXEL, form, screen
from .test_sandbox_templates import create, fill, new

Start = Callable[..., Sandbox]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "whatalker.sandbox", *flags], capture_output=True, text=True, timeout=20
    )


def test_a_busy_port_is_one_sentence_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1 and "in use" in ended.stderr


def test_a_folder_that_cannot_be_made_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("--port", "0", "--state", str(tmp_path / "file" / "state"))
    assert ended.returncode == 1 and len(ended.stderr.splitlines()) == 1


def test_it_listens_on_loopback_only(start: Start) -> None:
    sandbox = start()
    assert sandbox.url.startswith("http://127.0.0.1:")
    assert sandbox.call("GET", "/healthz", token=None).json == {"ok": True, "waiting": 0}


def test_sigterm_stops_it_within_two_seconds_even_with_open_pages_and_hanging_calls(start: Start) -> None:
    sandbox = start()
    sandbox.control("PUT", "faults", {"hang": 1.0})
    page = socket.create_connection(("127.0.0.1", sandbox.port))
    page.sendall(b"GET /_sandbox/phone/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert b"200 OK" in page.recv(4096)
    call = socket.create_connection(("127.0.0.1", sandbox.port))
    body = b'{"messaging_product":"whatsapp","to":"16505551234","text":{"body":"x"}}'
    call.sendall(
        f"POST /v23.0/{NUMBER}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sandbox-access-token\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    time.sleep(0.2)
    begun = time.monotonic()
    assert sandbox.stop() == 0
    assert time.monotonic() - begun < 2
    page.close()
    call.close()


def test_state_survives_a_restart(start: Start, tmp_path: Path, product: Product) -> None:
    state = str(tmp_path / "state")
    first = start("--state", state, "--callback", "http://127.0.0.1:9/")
    raw, kind = form(PIXEL, "image/png")
    media_id = first.call("POST", "/_sandbox/phone/media", raw, token=None, **{"Content-Type": kind}).json["id"]
    said = first.says("Remember me", name="Sheena Nelson")
    first.control("POST", "phone/contacts", {"wa_id": SHEENA, "online": False})
    create(first, new("seat_kept"))
    sent = first.text("while you are away", biz_opaque_callback_data="k:1").json["messages"][0]["id"]
    time.sleep(0.2)
    last = first.control("GET", "ledger")["last"]
    assert first.stop() == 0

    second = start("--state", state)
    second.control("PUT", "callback", {"url": product.url})
    shown = screen(second)
    assert [message["id"] for message in shown] == [said, sent]
    assert shown[0]["content"] == {"body": "Remember me"}
    assert second.call("GET", f"/_sandbox/phone/files/{media_id}", token=None).raw == PIXEL
    assert second.quiet()
    assert product.messages()[0]["id"] == said
    second.control("POST", "phone/contacts", {"wa_id": SHEENA, "online": True})
    assert second.quiet()
    assert [status["status"] for status in product.statuses(sent)] == ["sent", "delivered", "read"]
    assert {status["biz_opaque_callback_data"] for status in product.statuses(sent)} == {"k:1"}
    assert (
        fill(second, "seat_kept", "en_US", {"type": "body", "parameters": [{"type": "text", "text": "A"}]}).status
        == 200
    )
    assert second.control("GET", "ledger")["entries"][0]["seq"] > last
    second.stop()
    assert (tmp_path / "state" / "ledger.jsonl").read_text().count('"kind": "accepted"') == 2


def test_a_kill_loses_at_most_a_moment(start: Start, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = start("--state", state)
    first.says("Before the kill")
    time.sleep(1.2)
    first.process.kill()
    first.process.wait()
    second = start("--state", state)
    assert screen(second)[0]["content"] == {"body": "Before the kill"}


def test_a_broken_state_file_is_put_aside_and_said(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "sandbox.json").write_text('{"half')
    ended = subprocess.Popen(
        [sys.executable, "-m", "whatalker.sandbox", "--port", "0", "--state", str(state)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert ended.stdout is not None
    assert "could not be read" in ended.stdout.readline()
    assert "listening on" in ended.stdout.readline()
    ended.terminate()
    assert ended.wait(5) == 0
    ended.stdout.close()
    assert (state / "sandbox.unreadable").read_text() == '{"half'


def test_reset_forgets_all_but_what_is_kept(sandbox: Sandbox) -> None:
    sandbox.says()
    sandbox.text()
    sandbox.control("PUT", "faults", {"rate_429": 0.5})
    sandbox.control("POST", "reset", {"keep": ["faults", "contacts"]})
    assert sandbox.control("GET", "faults")["rate_429"] == 0.5
    assert sandbox.control("GET", "phone")["threads"]
    assert sandbox.control("GET", "ledger/summary")["accepted"] == 0
    sandbox.control("POST", "reset", {})
    assert sandbox.control("GET", "faults")["rate_429"] == 0
    assert sandbox.control("GET", "phone")["threads"] == []
    assert sandbox.call("POST", "/_sandbox/reset", {"keep": ["x"]}, token=None).status == 400


def test_the_memory_of_the_ledger_is_bounded(start: Start) -> None:
    sandbox = start("--ledger-cap", "50")
    for index in range(40):
        sandbox.text(str(index))
    page = sandbox.control("GET", "ledger")
    assert len(page["entries"]) == 50 and page["dropped"] > 0
    assert sandbox.control("GET", "ledger/summary")["accepted"] == 40
