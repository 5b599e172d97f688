"""Keeps the children of one instance running and ends them in order; its one rule: it alone starts, restarts and stops them."""

from __future__ import annotations

import contextlib
import heapq
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whatalker.embedded import Servers
from whatalker.errors import WhatalkerError
from whatalker.launcher.child_logs import LogFile, Stream, say
from whatalker.processes import Fork, adopt_orphans, children_of

BACKOFF = (0.2, 1, 2, 5, 10, 20)
"""Seconds before a child that keeps crashing is started again: the first time at once, then ever later."""
ONLY_LOGGED = ("postgres", "valkey")
"""What these say is for their log files: most of it is about starting and stopping, which we say ourselves."""
HEALTHY_AFTER = 30
"""Seconds of running after which earlier crashes are forgiven."""


Process = subprocess.Popen[bytes] | Fork


@dataclass
class Child:
    """One program to keep running."""

    role: str
    start: Callable[[int], Process]
    """Starts it, given where its output goes."""
    stage: int
    """Stopped in this order: 1 takes requests and jobs, 2 is what those talk to."""
    patience: float = 8
    process: Process | None = None
    crashes: int = 0
    since: float = field(default=0.0)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None


class Supervisor:
    """A single-threaded loop over signals, exits, output and timers: nothing here waits for anything else."""

    def __init__(self, logs: Path, quiet: bool = False) -> None:
        self.logs_folder, self.quiet = logs, quiet
        self.children: list[Child] = []
        self.servers: Servers | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called whenever a process was started or ended."""
        self.stopping = False
        self._impatient = False
        self._logs: dict[str, LogFile] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._once = 0
        self._selector = selectors.DefaultSelector()
        adopt_orphans()
        self._listen_to_signals()

    def _listen_to_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        self._selector.register(reader, selectors.EVENT_READ, lambda: bool(os.read(reader, 4096)))

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self._impatient = self.stopping and number == signal.SIGINT
        self.stopping = True

    def output(self, name: str) -> int:
        """The writing end of a pipe whose lines are shown and logged under that name."""
        self.logs_folder.mkdir(exist_ok=True)
        log = self._logs.setdefault(name, LogFile(self.logs_folder / f"{name.replace(':', '-')}.log"))
        reader, writer = os.pipe2(os.O_CLOEXEC)
        stream = Stream(name, reader, log, self.quiet or name in ONLY_LOGGED)
        self._selector.register(reader, selectors.EVENT_READ, stream.read)
        return writer

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._count, call))

    def turn(self, longest: float = 1.0) -> None:
        """Deal with what has happened, or wait for something to happen, at most that long."""
        until = min([self._timers[0][0]] if self._timers else [time.monotonic() + longest])
        for key, _ in self._selector.select(max(0.0, min(longest, until - time.monotonic()))):
            if not key.data():
                self._selector.unregister(key.fd)
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _watch(self, pid: int, call: Callable[[], None]) -> None:
        handle = os.pidfd_open(pid)

        def ended() -> bool:
            call()
            os.close(handle)
            return False

        self._selector.register(handle, selectors.EVENT_READ, ended)

    def run_once(self, child: Child) -> bool:
        """Run it to its end; whether it went well (never, when we were asked to stop meanwhile)."""
        process = child.start(self.output(child.role))
        self._once = process.pid
        while process.poll() is None and not self.stopping:
            self.turn(0.1)
        self._end_group(process.pid, signal.SIGKILL)
        code = process.wait()
        self.turn(0)
        return code == 0 and not self.stopping

    def start(self, child: Child) -> None:
        """Start it, and from then on start it again whenever it ends."""
        if child not in self.children:
            self.children.append(child)
        child.since = time.monotonic()
        child.process = child.start(self.output(child.role))
        self._watch(child.process.pid, lambda: self._child_ended(child))
        self.changed()

    def _child_ended(self, child: Child) -> None:
        assert child.process is not None
        code = child.process.wait()
        # What it had forked (a job's process, a web worker) must not go on beside its successor.
        self._end_group(child.process.pid, signal.SIGKILL)
        self._end_strays()
        if self.stopping:
            return
        child.crashes = 1 if time.monotonic() - child.since > HEALTHY_AFTER else child.crashes + 1
        pause = BACKOFF[min(child.crashes, len(BACKOFF)) - 1]
        say(f"{child.role} ended ({how_it_ended(code)}); starting it again in {pause:g} s.")
        self.after(pause, lambda: self._start_again(child))

    def _start_again(self, child: Child) -> None:
        if not self.stopping:
            self.start(child)
            say(f"{child.role} was started again.")

    def keep(self, servers: Servers) -> None:
        """Watch the embedded servers too."""
        self.servers = servers
        for server in servers.wanted:
            if server.process is not None:
                self._watch(server.process.pid, lambda name=server.name: self._server_ended(name, 0))  # type: ignore[misc]

    def _server_ended(self, name: str, tries: int) -> None:
        if self.stopping or self.servers is None:
            return
        say(f"{name} ended; starting it again.")
        try:
            revived = self.servers.revive()
        except WhatalkerError as error:
            say(f"{name}: {error.message}")
            pause = BACKOFF[min(tries, len(BACKOFF) - 1)]
            self.after(pause, lambda: self._server_ended(name, tries + 1))
            return
        for server in self.servers.wanted:
            if server.name in revived and server.process is not None:
                self._watch(server.process.pid, lambda name=server.name: self._server_ended(name, 0))  # type: ignore[misc]
                say(f"{server.name} was started again.")
        self.changed()

    @property
    def pids(self) -> dict[str, list[int]]:
        """Who runs, by role."""
        roles: dict[str, list[int]] = {"supervisor": [os.getpid()]}
        for child in self.children:
            roles.setdefault(child.role, [])
            if child.running and child.process is not None:
                roles[child.role].append(child.process.pid)
        return roles | (self.servers.pids if self.servers else {})

    def stop(self) -> None:
        """End everything: first who takes requests and jobs, then what those talk to, then the servers, then any stray."""
        self.stopping = True
        for stage in sorted({child.stage for child in self.children}):
            self._stop_stage([child for child in self.children if child.stage == stage])
        if self.servers is not None:
            self.servers.stop()
        self._end_strays()
        self.turn(0)

    def _stop_stage(self, children: list[Child]) -> None:
        for child in children:
            if child.running and child.process is not None:
                child.process.terminate()
        asked = time.monotonic()
        for child in children:
            while child.process is not None and child.process.poll() is None:
                self.turn(0.05)
                if self._impatient or time.monotonic() > asked + child.patience:
                    say(f"{child.role} did not stop in {time.monotonic() - asked:.0f} s and was ended.")
                    self._end_group(child.process.pid, signal.SIGKILL)

    def _end_group(self, group: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _end_strays(self) -> None:
        """Whatever hangs under us and is not one of ours was left by a child that died."""
        ours = {pid for pids in self.pids.values() for pid in pids} | {self._once}
        for pid in children_of(os.getpid()):
            if pid not in ours:
                with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)


def how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
