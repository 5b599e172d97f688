"""A sandbox as a real process, and a product that is nothing but a webhook receiver: no other part is needed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

SECRET = "sandbox-app-secret"
TOKEN = "sandbox-access-token"
NUMBER = "106540352242922"
WABA = "102290129340398"
SHEENA = "16505551234"


@dataclass
class Product:
    """What the product's callback saw; `answers` are given first, then 200."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    signatures_good: bool = True
    times: list[float] = field(default_factory=list)

    def changes(self, name: str = "messages") -> list[dict[str, Any]]:
        """Values of one field, in order of arrival, of accepted calls and refused ones alike."""
        found = []
        for raw in list(self.bodies):
            for entry in json.loads(raw)["entry"]:
                found += [change["value"] for change in entry["changes"] if change["field"] == name]
        return found

    def statuses(self, wamid: str | None = None) -> list[dict[str, Any]]:
        """Statuses in order of arrival."""
        every = [status for value in self.changes() for status in value.get("statuses", [])]
        return [status for status in every if wamid in (None, status["id"])]

    def messages(self) -> list[dict[str, Any]]:
        """Incoming messages in order of arrival."""
        return [message for value in self.changes() for message in value.get("messages", [])]


def _handler(product: Product) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            right = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
            product.signatures_good &= hmac.compare_digest(right, self.headers.get("X-Hub-Signature-256", ""))
            product.bodies.append(raw)
            product.times.append(time.monotonic())
            self._answer(product.answers.pop(0) if product.answers else 200, b"")

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            good = query.get("hub.verify_token") == ["sandbox-verify-token"]
            self._answer(200 if good else 403, query["hub.challenge"][0].encode() if good else b"no")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@dataclass
class Answer:
    """One answer of the sandbox; status 0 means the connection was cut."""

    status: int
    raw: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.raw)

    @property
    def error(self) -> dict[str, Any]:
        """Meta's error object."""
        return dict(self.json["error"])


class Sandbox:
    """One running sandbox and short ways to call it."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whatalker.sandbox", "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "listening on" in line, self.process.communicate()
        self.url = line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        return code

    def call(self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str) -> Answer:
        """One HTTP call over its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = dict(headers)
        if token:
            sent["Authorization"] = f"Bearer {token}"
        raw = body
        if isinstance(body, dict | list):
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, raw, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        except (ConnectionError, http.client.HTTPException):
            return Answer(0, b"", {})
        finally:
            connection.close()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A control call that must succeed."""
        answer = self.call(method, f"/_sandbox/{path}", body, token=None)
        assert answer.status in (200, 201, 202), answer.raw
        return answer.json

    def send(self, _number: str = NUMBER, _token: str = TOKEN, **body: Any) -> Answer:
        """POST /messages with the usual fields filled in; a field given as None is left out."""
        usual = {"messaging_product": "whatsapp", "to": SHEENA}
        full = {key: value for key, value in (usual | body).items() if value is not None}
        return self.call("POST", f"/v23.0/{_number}/messages", full, token=_token)

    def text(self, body: str = "Hello", **more: Any) -> Answer:
        """Send a text."""
        return self.send(type="text", text={"body": body}, **more)

    def says(self, text: str = "Hi", **more: Any) -> str:
        """The contact writes; the message id."""
        return str(self.control("POST", "phone/messages", {"from": SHEENA, "text": text} | more)["id"])

    def quiet(self, timeout: float = 5) -> bool:
        """Wait until nothing is scheduled or waiting."""
        return bool(self.control("POST", "flush", {"timeout_s": timeout})["ok"])


@pytest.fixture(scope="session")
def product_server() -> Iterator[Product]:
    product = Product()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(product))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    product.url = f"http://127.0.0.1:{server.server_port}/callbacks/whatsapp"
    yield product
    server.shutdown()
    server.server_close()


@pytest.fixture
def product(product_server: Product) -> Product:
    """The receiver with empty hands."""
    product_server.bodies.clear()
    product_server.answers.clear()
    product_server.times.clear()
    product_server.signatures_good = True
    return product_server


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    assert sandbox.stop() == 0


QUICK = {
    "strangers": "refuse",
    "sent_ms": 5,
    "delivered_ms": 10,
    "read_ms": 15,
    "retry_ms": 30,
    "retry_cap_ms": 200,
    "review_ms": 50,
}


@pytest.fixture
def sandbox(running: Sandbox, product: Product) -> Sandbox:
    """The shared sandbox, as new, telling the product; delays are short."""
    running.control("POST", "reset", {})
    running.control("PUT", "callback", {"url": product.url})
    running.control("PUT", "behaviour", QUICK)
    product.bodies.clear()
    return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Start further sandboxes; those still running are stopped at the end."""
    begun: list[Sandbox] = []

    def begin(*flags: str) -> Sandbox:
        begun.append(Sandbox(*flags))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.stop()
