"""The state file: everything but the ledger and the media bytes, written whole and put in place by a rename."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from .deliveries import Parcel, Update
from .emulator import Emulator
from .envelopes import Number, Sent

NAME = "sandbox.json"
REST = 20
"""After writing for t seconds the next time is at least REST x t later, so a big state never fills the day."""


def snapshot(emulator: Emulator) -> dict[str, Any]:
    """What a restarted sandbox needs to go on: updates under way count as not delivered."""
    line = emulator.deliveries
    now = time.monotonic()
    steps, held = [], []
    for due, _, call, args in emulator.hourglass.heap:
        if call == emulator.advance or call == emulator._read_one:
            stage = args[1] if len(args) > 1 else "read"
            steps.append([max(0.0, due - now), _sent(args[0]), stage])
        elif call == line.queue:
            held.append(_update(args[0]))
    parcels = [row[2] for row in line.again] + line.carried
    return {
        "handsets": emulator.handsets.dump(),
        "templates": emulator.templates.rows,
        "numbers": [number.dump() for number in emulator.numbers.values()],
        "media": list(emulator.media.rows.items()),
        "behaviour": emulator.behaviour.as_dict(),
        "faults": emulator.faults.setting,
        "target": emulator.target.url if emulator.target.url != emulator.settings.callback else None,
        "asleep": [_sent(sent) for waiting in emulator.asleep.values() for sent in waiting],
        "steps": steps,
        "parcels": [
            [parcel.raw.decode(), [_update(one) for one in parcel.updates], parcel.tries]
            for parcel in parcels
            if not parcel.last
        ],
        "updates": held + [_update(update) for update in line.ready],
    }


def _sent(sent: Sent) -> dict[str, Any]:
    return {name: getattr(sent, name) for name in Sent.__slots__}


def _update(update: Update) -> dict[str, Any]:
    row = {name: getattr(update, name) for name in Update.__slots__}
    return row | {"number": update.number.phone_number_id if update.number else None}


def restore(emulator: Emulator, saved: dict[str, Any]) -> None:
    """Go on from a snapshot."""
    emulator.numbers.clear()
    for row in saved["numbers"]:
        emulator.numbers[row["phone_number_id"]] = Number(**row)
    emulator.templates.load(saved["templates"])
    first = emulator.settings
    if first.phone_number_id not in emulator.numbers:
        emulator.add_number(Number(first.phone_number_id, first.waba_id, first.display_phone_number))
    emulator.handsets.load(saved["handsets"])
    emulator.media.rows.update(saved["media"])
    emulator.behaviour.change(saved["behaviour"])
    emulator.faults.change(saved["faults"])
    emulator.target.url = saved["target"] or emulator.target.url
    for row in saved["asleep"]:
        emulator.asleep.setdefault(row["wa_id"], []).append(Sent(**row))
    for seconds, row, stage in saved["steps"]:
        emulator.hourglass.later(seconds, emulator.advance, Sent(**row), stage)
    line = emulator.deliveries
    for raw, rows, tries in saved["parcels"]:
        line.again.append(
            (0.0, next(line._count), Parcel(raw.encode(), [_known(emulator, row) for row in rows], tries))
        )
    line.ready.extend(_known(emulator, row) for row in saved["updates"])
    emulator.resume_reviews()


def _known(emulator: Emulator, row: dict[str, Any]) -> Update:
    mark = tuple(row["mark"]) if row["mark"] else None
    return Update(**row | {"number": emulator.numbers.get(row["number"]), "mark": mark, "born": 0.0})


def read_state(emulator: Emulator, folder: Path) -> None:
    """Restore from the folder; a file that cannot be read is put aside under another name, never deleted."""
    path = folder / NAME
    if not path.exists():
        return
    try:
        restore(emulator, json.loads(path.read_text("utf-8", "surrogatepass")))
    except (ValueError, KeyError, TypeError, AttributeError):
        path.replace(path.with_suffix(".unreadable"))
        print(
            f"sandbox: {path} could not be read; it is kept as {path.stem}.unreadable and the sandbox begins anew",
            flush=True,
        )


def write_state(emulator: Emulator, folder: Path) -> None:
    """Write the snapshot beside the old one, then replace it."""
    text = json.dumps(snapshot(emulator), ensure_ascii=False)
    path = folder / (NAME + ".new")
    path.write_text(text, "utf-8", "surrogatepass")
    path.replace(folder / NAME)
    emulator.dirty = False


async def keep_writing(emulator: Emulator, folder: Path | None) -> None:
    """Write the ledger twice a second and the state when it changed."""
    next_time = 0.0
    while True:
        await asyncio.sleep(0.5)
        emulator.ledger.write()
        begun = time.monotonic()
        if folder and emulator.dirty and begun >= next_time:
            write_state(emulator, folder)
            next_time = time.monotonic() + REST * (time.monotonic() - begun)
