"""The contacts' side of every conversation: who they are, how their phone behaves, and what stands on its screen."""

import time
from collections import OrderedDict, deque
from dataclasses import asdict, dataclass, field
from typing import Any

Bubble = dict[str, Any]
ThreadKey = tuple[str, str]
BUBBLES_KEPT = 200
THREADS_KEPT = 500
WINDOWS_KEPT = 500_000
WINDOWS_SAVED = 20_000
PLACES_KEPT = 200_000
DAY = 24 * 3600
FREE_ENTRY = 72 * 3600


@dataclass(slots=True)
class Contact:
    """One person with WhatsApp. None means: as the sandbox's behaviour says."""

    wa_id: str
    name: str = ""
    online: bool | None = None
    reads: bool | None = None
    stopped: bool = False
    "Told WhatsApp to stop marketing messages of this business."
    user_id: str = ""
    username: str = ""
    hide_wa_id: bool = False
    played: bool = False
    "Made on the phone page: never forgotten to save room."


@dataclass(slots=True)
class Thread:
    """What one contact's phone shows of one business number."""

    number_id: str
    wa_id: str
    bubbles: deque[Bubble] = field(default_factory=lambda: deque(maxlen=BUBBLES_KEPT))
    typing_until: float = 0.0
    unread: int = 0

    @property
    def key(self) -> ThreadKey:
        """(phone_number_id, wa_id)"""
        return self.number_id, self.wa_id

    def find(self, message_id: str) -> Bubble | None:
        """A bubble by its message id, newest first."""
        return next((bubble for bubble in reversed(self.bubbles) if bubble["id"] == message_id), None)


class Handsets:
    """All contacts, threads and windows, each kind bounded; the longest untouched go first."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nobody has written yet."""
        self.contacts: OrderedDict[str, Contact] = OrderedDict()
        self.threads: OrderedDict[ThreadKey, Thread] = OrderedDict()
        self.windows: OrderedDict[ThreadKey, float] = OrderedDict()
        self.places: OrderedDict[str, ThreadKey] = OrderedDict()

    def contact(self, wa_id: str) -> Contact:
        """The contact with this id, made when new."""
        found = self.contacts.get(wa_id)
        if found is None:
            found = self.contacts[wa_id] = Contact(wa_id)
            _shrink(self.contacts, THREADS_KEPT * 2, lambda contact: contact.played)
        self.contacts.move_to_end(wa_id)
        return found

    def by_user_id(self, user_id: str) -> Contact | None:
        """The contact with this business-scoped id."""
        return next((one for one in self.contacts.values() if one.user_id == user_id), None)

    def thread(self, number_id: str, wa_id: str) -> Thread:
        """The thread of this pair, made when new, and now the newest."""
        key = (number_id, wa_id)
        found = self.threads.get(key)
        if found is None:
            found = self.threads[key] = Thread(number_id, wa_id)
            _shrink(self.threads, THREADS_KEPT, self._pinned)
        self.threads.move_to_end(key)
        return found

    def _pinned(self, thread: Thread) -> bool:
        contact = self.contacts.get(thread.wa_id)
        return contact is not None and contact.played

    def note_inbound(self, number_id: str, wa_id: str, message_id: str, at: float, free_entry: bool) -> None:
        """The contact wrote: the window opens for 24 hours (72 when an advertisement led here)."""
        key = (number_id, wa_id)
        until = at + (FREE_ENTRY if free_entry else DAY)
        self.windows[key] = max(until, self.windows.get(key, 0.0))
        self.windows.move_to_end(key)
        self.places[message_id] = key
        for kept, most in ((self.windows, WINDOWS_KEPT), (self.places, PLACES_KEPT)):
            while len(kept) > most:
                kept.popitem(last=False)

    def window_open(self, number_id: str, wa_id: str) -> bool | None:
        """Whether free text may be sent now; None when this contact never wrote to this number."""
        until = self.windows.get((number_id, wa_id))
        return None if until is None else until > time.time()

    def dump(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {
            "contacts": [asdict(contact) for contact in self.contacts.values()],
            "threads": [[*thread.key, list(thread.bubbles), thread.unread] for thread in self.threads.values()],
            "windows": [[*key, until] for key, until in list(self.windows.items())[-WINDOWS_SAVED:]],
            "places": [[message_id, *key] for message_id, key in list(self.places.items())[-5000:]],
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take what `dump` gave."""
        self.clear()
        for row in saved["contacts"]:
            self.contacts[row["wa_id"]] = Contact(**row)
        for number_id, wa_id, bubbles, unread in saved["threads"]:
            self.threads[number_id, wa_id] = Thread(
                number_id, wa_id, deque(bubbles, maxlen=BUBBLES_KEPT), unread=unread
            )
        self.windows = OrderedDict(((number_id, wa_id), until) for number_id, wa_id, until in saved["windows"])
        self.places = OrderedDict((message_id, (number_id, wa_id)) for message_id, number_id, wa_id in saved["places"])


def _shrink(rows: OrderedDict[Any, Any], most: int, pinned: Any) -> None:
    """Drop the longest untouched row that is not pinned; rows grow by one at a time, so one is enough."""
    if len(rows) > most:
        oldest = next((key for key, row in rows.items() if not pinned(row)), None)
        if oldest is not None:
            del rows[oldest]
