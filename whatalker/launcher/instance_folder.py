"""What one instance keeps in its folder: secrets, ports, addresses, who runs; its one rule: secrets are for the owner's eyes only."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
from pathlib import Path
from typing import IO, Any

from whatalker.errors import Conflict, Invalid
from whatalker.processes import is_running, started_at, wait_until

KEPT_OUT_OF_FRESH = ("run.lock", "servers.lock")
MARK = "secrets.env"
"""The file by which --fresh knows that a folder is an instance and not somebody's documents."""


def _random_base32() -> str:
    return base64.b32encode(os.urandom(20)).decode()


MAKERS = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(),
    "WHATSAPP_APP_SECRET": lambda: secrets.token_hex(16),
    "WHATSAPP_VERIFY_TOKEN": lambda: secrets.token_urlsafe(24),
    "DEMO_ACCESS_TOKEN": lambda: "sandbox-" + secrets.token_urlsafe(32),
    "DEMO_PASSWORD": lambda: "-".join(secrets.token_hex(2) for _ in range(5)),
    "DEMO_TOTP_SECRET": _random_base32,
}


class InstanceFolder:
    """One folder, held by one supervisor at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (self.path / "run.lock").open("a+")
        except OSError as error:
            raise Invalid(
                f"The instance folder {self.path} cannot be written to ({error.strerror}); choose another with --instance FOLDER."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            raise Conflict(
                f"This instance ({self.path}) is already running as process {self._lock.read().strip() or 'unknown'};"
                " stop that one, or start a second one with --instance OTHER_FOLDER --port OTHER_PORT.",
                "instance_in_use",
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def start_over(self) -> None:
        """Throw away everything the instance has kept."""
        inside = [entry for entry in self.path.iterdir() if entry.name not in KEPT_OUT_OF_FRESH]
        if inside and not (self.path / MARK).exists():
            raise Invalid(
                f"{self.path} is not an instance folder of WhaTalker, so --fresh leaves it alone; empty it yourself."
            )
        for entry in inside:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def write(self, name: str, text: str) -> None:
        """Replace the file in one step, readable by its owner alone."""
        making = self.path / f".{name}.new"
        making.unlink(missing_ok=True)
        descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        making.replace(self.path / name)

    def write_environment(self, name: str, values: dict[str, str]) -> None:
        self.write(name, "".join(f"{key}={value}\n" for key, value in values.items()))

    def read_json(self, name: str) -> dict[str, Any]:
        """What is in the file; nothing when it is missing or was cut off."""
        try:
            found = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        self.write(name, json.dumps(values, indent=1) + "\n")

    def remove(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def secrets(self) -> dict[str, str]:
        """Made at random once, and the same from then on: they decrypt what is stored and verify what was signed."""
        try:
            lines = (self.path / MARK).read_text().splitlines()
        except FileNotFoundError:
            lines = []
        kept = {key: value for key, _, value in (line.partition("=") for line in lines) if key}
        complete = {name: kept.get(name) or make() for name, make in MAKERS.items()} | kept
        if complete != kept:
            self.write_environment(MARK, complete)
        return complete

    def choose_ports(self, wanted: int | None) -> tuple[int, int]:
        """The web's and the sandbox's: what was asked for or remembered, else 8000 and the next free one."""
        kept = self.read_json("ports.json")
        web = wanted or int(kept.get("web", 8000))
        if problem := port_problem(web):
            raise Invalid(f"Port {web} {problem}; choose another with --port N.", "port_unusable")
        candidates = [int(kept.get("sandbox", web + 1)), *range(web + 1, min(web + 100, 65536)), 0]
        sandbox = next(port for port in candidates if port != web and not port_problem(port))
        if sandbox == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                sandbox = probe.getsockname()[1]
        self.write_json("ports.json", {"web": web, "sandbox": sandbox})
        return web, sandbox

    def remember_groups(self, pids: list[int]) -> None:
        """Note which process groups are ours, so that the next start can end what a killed one has left behind."""
        self.write_json("groups.json", {"boot": _boot(), "groups": {str(pid): started_at(pid) for pid in pids}})

    def end_leftovers(self) -> int:
        """End what an earlier supervisor that was killed has left running; how many there were."""
        noted = self.read_json("groups.json")
        groups = [int(pid) for pid, start in noted.get("groups", {}).items() if started_at(int(pid)) in (start, 0)]
        running = sum(is_running(group) for group in groups)
        alive = [group for group in groups if noted.get("boot") == _boot() and _signal(group, signal.SIGTERM)]
        wait_until(lambda: not any(_signal(group, 0) for group in alive), 5)
        for group in alive:
            _signal(group, signal.SIGKILL)
        self.remove("groups.json", "run.json", "environment.env")
        return running


def _boot() -> str:
    """Names this boot of the machine: process numbers mean nothing in the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _signal(group: int, number: int) -> bool:
    """Whether the process group is there and took the signal; 0 only asks."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def port_problem(port: int) -> str:
    """Why nothing of ours can listen there; empty when it can."""
    if not 0 <= port <= 65535:
        return "is not a port (1 to 65535)"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return "is reserved for root"
        except OSError:
            return "is already in use by another program"
    return ""
