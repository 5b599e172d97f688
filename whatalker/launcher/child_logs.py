"""What the children print, under their names on the screen and in capped files; its one rule: a full pipe never stops a child."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CAP = 5 * 1024 * 1024
"""Bytes a log file may have before it becomes NAME.log.1 and the one before is forgotten."""
ONLY_LOGGED = b'"level": "info"'
"""A line with this is for the log file: shown too, the requests of one page would push the addresses off the screen."""
LONGEST = 16 * 1024
"""Bytes of a line without an end after which it is shown as it is."""


class LogFile:
    """One child's log, with at most one older part beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        self.file = self.path.open("ab")

    def write(self, data: bytes) -> None:
        try:
            self.file.write(data)
            self.file.flush()
            if self.file.tell() > CAP:
                self.file.close()
                self.path.replace(self.path.with_suffix(".log.1"))
                self._open()
        except OSError:
            pass  # a full disk is reported by those who need it; a log line is not worth stopping for


class Stream:
    """The reading end of one child's output."""

    def __init__(self, name: str, reader: int, log: LogFile, quiet: bool) -> None:
        self.name, self.reader, self.log, self.quiet = name, reader, log, quiet
        self._rest = b""
        os.set_blocking(reader, False)

    def read(self) -> bool:
        """Pass on what is there; False at the end."""
        try:
            data = os.read(self.reader, 65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            if self._rest:
                self._show(self._rest)
            os.close(self.reader)
            return False
        self.log.write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._show(line)
        return True

    def _show(self, line: bytes) -> None:
        if not self.quiet and ONLY_LOGGED not in line:
            say(f"{self.name:>16} | {line.decode(errors='replace')}")


def say(text: str) -> None:
    """Print at once; whoever read our output may be gone, which is no reason to stop."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - stays open for the rest of the process
