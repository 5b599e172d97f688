"""The parts as production starts them: several of each on two "hosts" that share one PostgreSQL and one Redis, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from whatalker.embedded import Servers
from whatalker.processes import start_child, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
QUEUES = ("interactive", "bulk", "intake", "default")

pytestmark = pytest.mark.slow


class Host:
    """One machine: its own settings, folder and ports, and the parts that run on it."""

    def __init__(self, name: str, folder: Path, shared: dict[str, str]) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.environment = {"PATH": os.environ["PATH"], "INSTANCE": str(self.folder), "MEDIA_ROOT": str(folder / "media")} | shared
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.web, self.stream = free_port(), free_port()

    def start(self, part: str, *command: str, **settings: str) -> None:
        output = (self.folder / f"{part}.log").open("ab")
        environment = self.environment | settings
        self.parts[part] = start_child([sys.executable, "-m", *command], output, ends_on=signal.SIGKILL, cwd=ROOT, env=environment)

    def start_everything(self) -> None:
        # Fourteen processes load the application at once here: a start may take longer than gunicorn's 30 seconds.
        gunicorn = ("gunicorn", "wsgi:app", "--no-control-socket", "--log-level", "warning", "--graceful-timeout", "2", "--timeout", "120", "--bind")
        self.start("web", *gunicorn, f"127.0.0.1:{self.web}", "--worker-class", "gthread", "--threads", "8")
        self.start("stream", *gunicorn, f"127.0.0.1:{self.stream}", "--worker-class", "gevent", STREAMS_PER_PROCESS="2000")
        for queue in QUEUES:
            self.start(f"work-{queue}", "whatalker.cli", "work", queue)
        self.start("upkeep", "whatalker.cli", "upkeep")

    def log(self, part: str) -> str:
        return (self.folder / f"{part}.log").read_text()

    def whatalker(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "whatalker.cli", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    def stop(self) -> dict[str, int]:
        """How each part ended, all asked at once."""
        for part in self.parts.values():
            part.terminate()
        return {name: part.wait(40) for name, part in self.parts.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """As the proxy in front asks: with the public Host, over https as far as the product can tell."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers |= {"Host": "crm.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    try:
        connection.request("POST" if body is not None else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def is_ready(port: int) -> bool:
    status, body = ask(port, "/readyz")
    return status == 200 and json.loads(body)["status"] == "ok"


@pytest.fixture(scope="module")
def provider() -> Iterator[int]:
    """Somebody who answers the telephone at the provider's address; nobody is called here."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def shared(servers: Servers, provider: int) -> dict[str, str]:
    database_url, migration_database_url = servers.add_database("production")
    return {
        "ENVIRONMENT": "production",
        "DATABASE_URL": database_url,
        "MIGRATION_DATABASE_URL": migration_database_url,
        "REDIS_URL": servers.redis_url.removesuffix("/0") + "/7",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": "https://crm.example.com",
        "TRUSTED_PROXIES": "1",
        "WHATSAPP_API_BASE": f"http://127.0.0.1:{provider}/v23.0",
        "WHATSAPP_APP_SECRET": secrets.token_hex(16),
        "WHATSAPP_VERIFY_TOKEN": secrets.token_hex(16),
    }


@pytest.fixture(scope="module")
def hosts(shared: dict[str, str]) -> Iterator[list[Host]]:
    with tempfile.TemporaryDirectory(prefix="whatalker-production-") as folder:
        both = [Host(name, Path(folder), shared) for name in ("one", "two")]
        migrated = both[0].whatalker("db", "upgrade")
        assert migrated.returncode == 0, migrated.stderr
        try:
            for host in both:
                host.start_everything()
            for host in both:
                assert wait_until(lambda host=host: is_ready(host.web), 120, pause=0.2), host.log("web")  # type: ignore[misc]
                assert wait_until(lambda host=host: is_ready(host.stream), 60, pause=0.2), host.log("stream")  # type: ignore[misc]
            yield both
        finally:
            for host in both:
                host.stop()


@pytest.fixture(scope="module")
def database(servers: Servers, hosts: list[Host]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(servers.postgres.superuser + " dbname=production", autocommit=True) as connection:
        yield connection


def active_upkeeps(database: psycopg.Connection[Any]) -> list[int]:
    """The database's name for the connection that holds the lock of the one active upkeep."""
    held = "select pid from pg_locks where locktype = 'advisory' and granted and objid = 7238412 and database = %s::oid"
    own = database.execute("select oid from pg_database where datname = current_database()").fetchone()
    return [row[0] for row in database.execute(held, own)]


def test_doctor_finds_every_part_on_every_host(hosts: list[Host]) -> None:
    def well(host: Host) -> bool:
        return host.whatalker("doctor", "--json").returncode == 0

    assert wait_until(lambda: well(hosts[0]), 60, pause=1), hosts[0].whatalker("doctor").stdout
    findings = {finding["name"]: finding for finding in json.loads(hosts[1].whatalker("doctor", "--json").stdout)}
    for queue in QUEUES:
        assert findings[f"queue {queue}"]["says"].startswith("2 workers")


def test_sign_in_pages_answer_on_each_host_and_to_no_other_name(hosts: list[Host]) -> None:
    for host in hosts:
        status, _ = ask(host.web, "/inbox")
        assert status in (302, 303)
        connection = http.client.HTTPConnection("127.0.0.1", host.web, timeout=10)
        connection.request("GET", "/inbox", headers={"Host": "evil.example.net"})
        assert connection.getresponse().status == 400
        connection.close()


def test_the_stream_process_asks_who_is_there_too(hosts: list[Host]) -> None:
    for host in hosts:
        status, _ = ask(host.stream, "/inbox/stream", Accept="text/event-stream")
        assert status in (302, 303, 401, 403)


def test_a_webhook_taken_by_either_host_is_worked_through(
    hosts: list[Host], shared: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    for host in hosts:
        value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": uuid.uuid4().hex}, "statuses": []}
        change = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}
        body = json.dumps(change).encode()
        signature = "sha256=" + hmac.new(shared["WHATSAPP_APP_SECRET"].encode(), body, hashlib.sha256).hexdigest()
        sent = ask(host.web, "/callbacks/whatsapp", body, **{"Content-Type": "application/json", "X-Hub-Signature-256": signature})
        assert sent[0] == 200
        forged = ask(host.web, "/callbacks/whatsapp", body, **{"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=0"})
        assert 400 <= forged[0] < 500

    def worked() -> bool:
        states = [row[0] for row in database.execute("select state from webhook_call")]
        return len(states) == 2 and not {"waiting", "claimed"} & set(states)

    assert wait_until(worked, 20, pause=0.1), database.execute("select state from webhook_call").fetchall()


def test_one_upkeep_is_active_and_the_other_takes_over(hosts: list[Host], database: psycopg.Connection[Any]) -> None:
    (active,) = active_upkeeps(database)
    # Which host it is on cannot be seen from the database over a socket: end one, and if the lock stayed, the other.
    for host in hosts:
        host.parts["upkeep"].kill()
        host.parts["upkeep"].wait()
        moved = wait_until(lambda: active_upkeeps(database) not in ([], [active]), 10, pause=0.1)
        host.start("upkeep", "whatalker.cli", "upkeep")
        if moved:
            break
    else:
        pytest.fail("nobody took over")
    assert len(active_upkeeps(database)) == 1


def test_a_host_that_is_lost_leaves_the_other_working(hosts: list[Host]) -> None:
    for part in hosts[0].parts.values():
        os.killpg(part.pid, signal.SIGKILL)
    assert is_ready(hosts[1].web)
    assert hosts[1].parts["work-interactive"].poll() is None
    ended = hosts[1].stop()
    # The upkeep of the test before may still be loading; then nothing of ours has begun and SIGTERM ends it as it ends anything.
    assert ended.pop("upkeep") in (0, -signal.SIGTERM)
    assert ended == dict.fromkeys(ended, 0)
