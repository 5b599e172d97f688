"""Child processes that cannot outlive their parent (Linux); its one rule: a process is ended only when proven to be ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

Output = Callable[[str], int | IO[bytes]]
"""Given the name of a child, where its output goes; the child takes it over and the parent's copy is closed."""


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """What a child runs between fork and exec so that the kernel sends it `how` when the thread that started it is gone.

    Start such children from the main thread only: the kernel watches the thread, not the process. A program that changes its
    user must do so before this runs, for that clears the setting (subprocess's `user=` does).
    """
    parent = os.getpid()

    def between_fork_and_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return between_fork_and_exec


def start_child(
    command: Sequence[str | os.PathLike[str]], output: int | IO[bytes], *, ends_on: signal.Signals, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own that gets `ends_on` when we are gone; its output goes to `output`."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,  # Ctrl-C in a terminal reaches us alone: we end the others in order
        preexec_fn=die_with_parent(ends_on),  # noqa: PLW1509 - one system call, no lock that another thread could hold
        **options,
    )
    if isinstance(output, int):
        os.close(output)
    else:
        output.close()
    return child


class Fork:
    """A copy of this process that does one thing and ends; what it has loaded it need not load again. Waited for like a Popen."""

    def __init__(self, name: str, call: Callable[[], object], output: int, ends_on: signal.Signals) -> None:
        between = die_with_parent(ends_on)
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(name, call, output, between)
        os.close(output)

    def poll(self) -> int | None:
        return self._collect(os.WNOHANG)

    def wait(self) -> int:
        code = self._collect(0)
        assert code is not None
        return code

    def _collect(self, how: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _become(name: str, call: Callable[[], object], output: int, between: Callable[[], None]) -> NoReturn:
    """The child's side of a fork: nothing of the parent's stays but what it has loaded, and nothing returns to its code."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        between()
        os.setpgid(0, 0)
        _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor > 2:
                with contextlib.suppress(OSError):  # the one that listed them is gone already
                    os.close(descriptor)
        call()
        code = 0
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 0 if asked.code is None else 1
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def adopt_orphans() -> None:
    """From now on a descendant whose parent died becomes our child, so that none is lost from sight."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def started_at(pid: int) -> int:
    """When the process started, in clock ticks since boot: with the pid it names one process for ever; 0 when it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def children_of(parent: int) -> list[int]:
    """The direct children, and those that have ended and wait to be collected."""
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in everyone if (fields := _stat(pid)) and fields[1] == str(parent)]


def runs(pid: int, executable: Path, folder: Path) -> bool:
    """Whether the process runs this very program in this very folder: proof that a pid read from a file is still the one meant."""
    try:
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        return program == str(executable.resolve()) and os.readlink(f"/proc/{pid}/cwd") == str(folder.resolve())
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """Whether the condition became true within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def end_process(pid: int, gently: signal.Signals, patience: float) -> None:
    """Ask the process to end, and after `patience` seconds make it; returns when it is gone."""
    try:
        os.kill(pid, gently)
        if not wait_until(lambda: not is_running(pid), patience):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_running(pid), 5)
    except ProcessLookupError:
        pass
