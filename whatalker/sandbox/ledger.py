"""What the provider saw and did, in order, to hold the product's own books against; entries never change."""

import json
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
KEYS_COUNTED = 500_000
FILE_MOST = 64 * 1024 * 1024
ENCODE = json.JSONEncoder(ensure_ascii=False).encode
COUNTED = {"accepted": "accepted", "refused": "refused", "call": "calls"}


class Ledger:
    """The newest `cap` entries in memory and, with a folder, all of them in ledger.jsonl (two files of 64 MB)."""

    def __init__(self, cap: int, folder: Path | None) -> None:
        self.cap = cap
        self.file = folder / "ledger.jsonl" if folder else None
        self.entries: deque[Entry] = deque()
        self.totals: Counter[str] = Counter()
        self.keys: dict[str, int] = {}
        self.dropped = 0
        self._unwritten: list[Entry] = []
        self.seq = self._last_seq()

    def _last_seq(self) -> int:
        """Where the numbering goes on after a restart."""
        if not self.file or not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 65536))
            for line in reversed(file.read().splitlines()):
                try:
                    return int(json.loads(line)["seq"])
                except (ValueError, KeyError):
                    continue
        return 0

    def add(self, kind: str, **facts: Any) -> None:
        """Append one entry. `body` may be the raw bytes of a JSON text; it is parsed when somebody reads it."""
        self.seq += 1
        entry = {"seq": self.seq, "at": round(time.time(), 3), "kind": kind, **facts}
        self.entries.append(entry)
        if len(self.entries) > self.cap:
            self.entries.popleft()
            self.dropped += 1
        if kind == "webhook":
            self.totals["webhooks_ok" if facts["status"] == 200 else "webhooks_failed"] += 1
        else:
            self.totals[COUNTED[kind]] += 1
        key = facts.get("key")
        if kind == "accepted" and key is not None and (key in self.keys or len(self.keys) < KEYS_COUNTED):
            self.keys[key] = self.keys.get(key, 0) + 1
        if self.file:
            self._unwritten.append(entry)

    def page(self, since: int, limit: int, kind: str | None) -> dict[str, Any]:
        """Entries after `since`, oldest first; `last` is the number to go on from."""
        first = self.entries[0]["seq"] if self.entries else 0
        found: list[Entry] = []
        last = since
        start = max(0, since + 1 - first)
        for position in range(start, len(self.entries)) if start < 1000 else ():
            if not self._take(self.entries[position], kind, found, limit):
                break
            last = self.entries[position]["seq"]
        if start >= 1000:  # a deque is slow to index in its middle: walk it once instead
            for entry in list(self.entries)[start:]:
                if not self._take(entry, kind, found, limit):
                    break
                last = entry["seq"]
        return {"entries": found, "last": last, "dropped": self.dropped}

    @staticmethod
    def _take(entry: Entry, kind: str | None, found: list[Entry], limit: int) -> bool:
        if len(found) >= limit:
            return False
        if kind in (None, entry["kind"]):
            found.append(readable(entry))
        return True

    def summary(self) -> dict[str, Any]:
        """Totals since the start or the last reset, and the correlation keys accepted more than once."""
        twice = {key: count for key, count in self.keys.items() if count > 1}
        names = ("calls", "accepted", "refused", "webhooks_ok", "webhooks_failed")
        return {name: self.totals[name] for name in names} | {
            "keys": len(self.keys),
            "keys_seen_twice": dict(list(twice.items())[:1000]),
            "keys_seen_twice_count": len(twice),
            "dropped": self.dropped,
        }

    def clear(self) -> None:
        """Begin a new book in memory; numbering goes on and the file keeps what it has."""
        self.write()
        self.entries.clear()
        self.totals.clear()
        self.keys.clear()
        self.dropped = 0

    def write(self) -> None:
        """Put what is not yet on disk there."""
        if not self.file or not self._unwritten:
            return
        lines = "".join(line(entry) for entry in self._unwritten)
        self._unwritten = []
        with self.file.open("a", encoding="utf-8", errors="surrogatepass") as file:
            file.write(lines)
            size = file.tell()
        if size > FILE_MOST:
            self.file.replace(self.file.with_name("ledger.1.jsonl"))


def line(entry: Entry) -> str:
    """One line of the file; the body of an accepted message is known to be JSON and is copied as it came."""
    if entry["kind"] == "accepted":
        head = ENCODE({name: value for name, value in entry.items() if name != "body"})
        body = entry["body"].decode("utf-8", "surrogatepass").replace("\n", " ").replace("\r", " ")
        return f'{head[:-1]}, "body": {body}}}\n'
    return ENCODE(readable(entry)) + "\n"


def readable(entry: Entry) -> Entry:
    """An entry with its body parsed; what is not JSON is shown as text."""
    body = entry.get("body")
    if not isinstance(body, bytes):
        return entry
    try:
        return entry | {"body": json.loads(body)}
    except ValueError:
        return entry | {"body": body.decode("utf-8", "replace")}
