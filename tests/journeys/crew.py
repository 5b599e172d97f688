"""The product's processes as they run in production, started, killed and started again; its one rule: only our own are ever killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from whatalker.processes import children_of, is_running

ROOT = Path(__file__).parent.parent.parent


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


class Crew:
    """Processes by role; keep() starts again whoever is gone, as the supervisor does."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = {**os.environ, **environment}
        self.logs = logs
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, *command: str) -> None:
        self.commands[role] = list(command)
        with (self.logs / f"{role}.log").open("ab") as log:
            self.running[role] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=self.environment)

    def start_whatalker(self, role: str, *words: str) -> None:
        self.start(role, sys.executable, "-m", "whatalker.cli", *words)

    def start_web(self, port: int) -> None:
        self.start(
            "web", sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread",
            "--threads", "8", "--no-control-socket", "--log-level", "warning",
        )  # fmt: skip
        assert wait_for(lambda: self._answers(port), 40), self.log("web")

    def _answers(self, port: int) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    def keep(self) -> None:
        for role, process in list(self.running.items()):
            if process.poll() is not None:
                self.start(role, *self.commands[role])

    def kill(self, role: str) -> None:
        self.running[role].kill()
        self.running[role].wait()

    def kill_horse(self, role: str) -> bool:
        """The fork that runs a job of this worker; False when it runs none."""
        for horse in children_of(self.running[role].pid):
            os.kill(horse, signal.SIGKILL)
            return True
        return False

    def stop(self) -> dict[str, int]:
        """Ask all to end, as a deployment does; answers how each ended."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        ends = {}
        for role, process in self.running.items():
            try:
                ends[role] = process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                ends[role] = process.wait()
        return ends

    def log(self, role: str) -> str:
        return (self.logs / f"{role}.log").read_text()[-3000:]


@contextmanager
def crew(environment: Mapping[str, str], logs: Path, **more: str) -> Iterator[Crew]:
    """A crew that is gone when the test is over, whatever happened."""
    running = Crew({**environment, **more}, logs)
    try:
        yield running
    finally:
        running.stop()
        assert not [role for role, process in running.running.items() if is_running(process.pid)]
