"""The provider's emulator as a real process, for tests of what leaves and of what goes wrong on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PHONE_NUMBER_ID, WABA, TOKEN = "106540352242922", "102290129340398", "sandbox-access-token"


class Provider:
    """The sandbox's controls."""

    def __init__(self, address: str, process: subprocess.Popen[str]) -> None:
        self.address, self.process = address, process

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")

    def faults(self, **values: Any) -> None:
        self.ask("PUT", "/_sandbox/faults", values)

    def behaves(self, **values: Any) -> None:
        self.ask("PUT", "/_sandbox/behaviour", values)

    def accepted(self) -> list[dict[str, Any]]:
        """What it took, oldest first, however it answered."""
        return self.ledger("accepted")

    def ledger(self, kind: str) -> list[dict[str, Any]]:
        found, since = [], 0
        while True:
            part = self.ask("GET", f"/_sandbox/ledger?kind={kind}&limit=1000&since={since}")
            found += part["entries"]
            if len(part["entries"]) < 1000:
                return found
            since = part["entries"][-1]["seq"]


@contextmanager
def sandbox(*words: str, **environment: str) -> Iterator[Provider]:
    """A sandbox on a free port, without a callback unless one is given."""
    command = [sys.executable, "-m", "whatalker.sandbox", "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment or None)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening on " in line, line
        yield Provider(line.split("listening on ")[1].strip(), process)
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
