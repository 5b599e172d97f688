"""scripts/run from outside, as a newcomer meets it: it starts all, says where, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from whatalker.launcher import first_visitors
from whatalker.processes import children_of, is_running, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL", "ENVIRONMENT", "INSTANCE", "PUBLIC_URL", "MEDIA_ROOT", "SECRET_KEY",
        "ENCRYPTION_KEYS", "WHATSAPP_API_BASE", "WHATSAPP_APP_SECRET", "WHATSAPP_VERIFY_TOKEN")  # fmt: skip
"""What other tests of this run have put into the environment, and a newcomer has not."""
ROLES = {"owner", "admin", "team_lead", "agent", "agent_other_team", "developer", "viewer", "platform_admin", "back_office",
         "compliance_officer", "stranger"}  # fmt: skip
PARTS = {"supervisor", "web", "sandbox", "work:interactive", "work:bulk", "work:intake", "work:default", "upkeep", "postgres", "valkey"}

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Run:
    """One scripts/run."""

    def __init__(self, instance: Path, port: int, *options: str) -> None:
        self.instance, self.port = instance, port
        self.said = instance.with_name(f"{instance.name}.said")
        environment = {key: value for key, value in os.environ.items() if key not in OURS}
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(
                [ROOT / "scripts/run", "--instance", instance, "--port", str(port), *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    def wait_ready(self) -> Run:
        ready = wait_until(lambda: self.facts_are_there() or self.process.poll() is not None, 100)
        assert ready, self.text()
        assert self.process.poll() is None, self.text()
        return self

    def facts_are_there(self) -> bool:
        return (self.instance / "run.json").exists()

    def facts(self) -> Any:
        return json.loads((self.instance / "run.json").read_text())

    def text(self) -> str:
        return self.said.read_text()

    def everybody(self) -> set[int]:
        """The supervisor and all that hangs below it."""
        found, new = set(), {self.process.pid}
        while new:
            found |= new
            new = {child for parent in new for child in children_of(parent)} - found
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def refused(*options: str | Path) -> str:
    """The one sentence of a start that cannot be."""
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    done = subprocess.run([ROOT / "scripts/run", *options], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    return done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="whatalker-run-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    running = Run(folder / "instance", free_port()).wait_ready()
    yield running
    if running.process.poll() is None:
        running.stop()


def test_the_run_file_says_all_that_an_outsider_needs(run: Run) -> None:
    facts = run.facts()
    assert stat.S_IMODE((run.instance / "run.json").stat().st_mode) == 0o600
    assert set(facts["sign_ins"]) == ROLES
    assert set(facts["pids"]) == PARTS
    assert all(is_running(pid) for pids in facts["pids"].values() for pid in pids)
    assert facts["web"] == f"http://127.0.0.1:{run.port}"
    assert facts["phone_number_id"] == "106540352242922"
    assert all(facts[name] for name in ("sandbox", "phone", "graph_api", "callback", "waba_id", "access_token", "app_secret", "verify_token"))
    assert all(facts["sign_ins"][role].get("totp_secret") for role in ("platform_admin", "back_office", "compliance_officer"))
    assert ask(facts["web"] + "/readyz")["ready"] is True


def test_the_newcomer_reads_where_to_go_and_as_whom(run: Run) -> None:
    said = run.text()
    for word in ("/inbox", "/admin", "/phone", "agent@acme.example", run.facts()["sign_ins"]["agent"]["password"], "Ctrl-C"):
        assert word in said


def test_the_first_contacts_have_written_and_do_so_only_once(run: Run) -> None:
    found = ask(run.facts()["sandbox"] + "/_sandbox/phone")["contacts"]
    assert {name for _, name, _ in first_visitors.VISITORS} <= {contact["name"] for contact in found}
    assert first_visitors.write(int(run.facts()["sandbox"].rsplit(":", 1)[1])) is False


def test_secrets_are_the_owners_alone(run: Run) -> None:
    for name in ("secrets.env", "environment.env", "sign_ins.json"):
        assert stat.S_IMODE((run.instance / name).stat().st_mode) == 0o600


def test_a_message_from_the_phone_is_taken_by_the_webhook(run: Run) -> None:
    sandbox = run.facts()["sandbox"]
    ask(sandbox + "/_sandbox/phone/messages", {"from": "16505551234", "name": "Sheena Nelson", "text": "hello"})
    assert ask(sandbox + "/_sandbox/flush", {"timeout_s": 10})["ok"]
    assert ask(sandbox + "/_sandbox/ledger/summary")["webhooks_ok"] >= 1


def test_doctor_finds_the_running_instance_and_nothing_wrong(run: Run) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in OURS} | {"INSTANCE": str(run.instance)}
    done = subprocess.run(
        [ROOT / ".venv/bin/whatalker", "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert [finding for finding in json.loads(done.stdout) if finding["state"] == "wrong"] == []
    assert done.returncode == 0


@pytest.mark.parametrize("part", ["work:bulk", "upkeep", "web", "valkey", "postgres"])
def test_a_killed_part_is_started_again_and_said(run: Run, part: str) -> None:
    killed = run.facts()["pids"][part][0]
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: run.facts()["pids"][part] not in ([], [killed]), 30), run.text()
    assert wait_until(lambda: f"{part} was started again." in run.text(), 5), run.text()

    def answers() -> bool:
        try:
            return bool(ask(run.facts()["web"] + "/readyz")["ready"])
        except (urllib.error.URLError, OSError):
            return False

    assert wait_until(answers, 30), run.text()


def test_the_same_instance_is_not_started_twice(run: Run) -> None:
    assert "already running" in refused("--instance", run.instance, "--port", str(free_port()))


def test_a_busy_port_is_one_sentence(run: Run, folder: Path) -> None:
    assert f"Port {run.port} is already in use" in refused("--instance", folder / "other", "--port", str(run.port))


def test_a_folder_that_cannot_be_written_is_one_sentence(folder: Path) -> None:
    (folder / "letter").touch()
    assert "cannot be written to" in refused("--instance", folder / "letter" / "instance")


def test_somebody_elses_folder_is_not_emptied_by_fresh(folder: Path) -> None:
    (folder / "documents").mkdir()
    (folder / "documents" / "thesis.txt").write_text("years of work")
    assert "leaves it alone" in refused("--instance", folder / "documents", "--fresh", "--port", str(free_port()))
    assert (folder / "documents" / "thesis.txt").read_text() == "years of work"


def test_two_instances_run_side_by_side(run: Run, folder: Path) -> None:
    second = Run(folder / "second", free_port()).wait_ready()
    try:
        mine, others = run.facts(), second.facts()
        assert ask(others["web"] + "/readyz")["ready"] is True
        assert mine["sandbox"] != others["sandbox"]
        assert mine["app_secret"] != others["app_secret"]
    finally:
        assert second.stop() == 0
    assert ask(run.facts()["web"] + "/readyz")["ready"] is True


def test_stopping_leaves_no_process_and_the_next_start_keeps_the_data(run: Run) -> None:
    everybody = run.everybody()
    secrets = (run.instance / "secrets.env").read_text()
    assert run.stop() == 0
    assert not [pid for pid in everybody if is_running(pid)]
    assert not run.facts_are_there()
    assert "Everything has stopped" in run.text()

    again = Run(run.instance, run.port).wait_ready()
    try:
        assert (run.instance / "secrets.env").read_text() == secrets
        place = f"host={run.instance / 'postgres'} user=postgres dbname=whatalker"
        with psycopg.connect(place) as connection:
            kept = connection.execute("select count(*) from message where direction = 'in'").fetchone()
        # The one of the test above, and what the demo's first contacts wrote: they do not write again.
        assert kept == (1 + sum(len(lines) for _, _, lines in first_visitors.VISITORS),)

        everybody = again.everybody()
        os.kill(again.process.pid, signal.SIGKILL)
        again.process.wait()
        assert wait_until(lambda: not [pid for pid in everybody if is_running(pid)], 15)
    finally:
        if again.process.poll() is None:
            again.stop()
