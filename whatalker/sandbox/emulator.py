"""The provider itself: accepts messages, walks them through their statuses, carries what contacts say; no HTTP."""

import time
from collections import OrderedDict
from typing import Any

from . import envelopes
from .behaviour import Behaviour
from .deliveries import Deliveries, Target, Update
from .envelopes import Number, Sent
from .faults import Faults
from .handsets import Bubble, Contact, Handsets, Thread
from .hourglass import Hourglass
from .ledger import Ledger
from .mediashelf import MediaShelf
from .refusals import GraphError, unknown_object
from .startup import Settings
from .templatebook import Template, TemplateBook
from .waids import new_wamid

WAITING_MOST = 300_000
"""Beyond so many undelivered updates the provider takes no more messages (131016)."""
TYPING_SECONDS = 25


class Emulator:
    """All the parts of one sandbox, and what happens between them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.target = Target(settings.callback, settings.app_secret, settings.verify_token)
        self.behaviour = Behaviour()
        self.faults = Faults(settings.latency_ms)
        self.ledger = Ledger(settings.ledger_cap, settings.state)
        self.hourglass = Hourglass()
        self.deliveries = Deliveries(self.target, self.behaviour, self.faults, self.ledger, self.hourglass)
        self.deliveries.arrived = self._arrived
        self.handsets = Handsets()
        self.templates = TemplateBook()
        self.media = MediaShelf(settings.state / "media" if settings.state else None)
        self.numbers: OrderedDict[str, Number] = OrderedDict()
        self.asleep: dict[str, list[Sent]] = {}
        self.changed: set[str] = set()
        self.watched = False
        self.dirty = True
        self.add_first_number()

    # -- numbers and templates --

    def add_first_number(self) -> None:
        """Only the number and the templates the sandbox starts with."""
        self.numbers.clear()
        self.templates.load({})
        first = self.settings
        self.add_number(Number(first.phone_number_id, first.waba_id, first.display_phone_number))

    def add_number(self, number: Number) -> None:
        """One more business number; a new business account gets the shipped templates."""
        self.numbers[number.phone_number_id] = number
        if number.waba_id not in self.templates.rows:
            self.templates.ship(number.waba_id)
        self.touch()

    def first_number(self, waba_id: str = "") -> Number:
        """The first number, or the first of a business account."""
        return next(number for number in self.numbers.values() if waba_id in ("", number.waba_id))

    def start_review(self, template: Template) -> None:
        """Decide a pending template after a moment and tell the product."""
        self.hourglass.later(self.behaviour.review_ms / 1000, self.templates.review, template, self.tell_template)

    def resume_reviews(self) -> None:
        """Start the review of every pending template again, after a restart or a reset."""
        for rows in self.templates.rows.values():
            for template in rows:
                if template["status"] == "PENDING":
                    self.start_review(template)

    def tell_template(self, template: Template, event: str, reason: str) -> None:
        """The webhook about a template's new status."""
        value = envelopes.template_value(
            template, event=event, reason=reason or "NONE", message_template_category=template["category"]
        )
        self.post(template["waba_id"], "message_template_status_update", value)

    def post(self, waba_id: str, field: str, value: dict[str, Any]) -> None:
        """Any ready value, signed and retried like all."""
        self.deliveries.post(Update(waba_id, field, value=value))
        self.dirty = True

    # -- messages of the business --

    def accept(
        self,
        number: Number,
        kind: str,
        body: dict[str, Any],
        to: str,
        wa_id: str,
        template: Template | None,
        shown: Any,
    ) -> Sent:
        """Take a checked message: it gets an id, a place on the contact's screen, and a fate."""
        contact = self.handsets.contacts.get(wa_id)
        sent = Sent(
            wamid=new_wamid(wa_id or to),
            number_id=number.phone_number_id,
            wa_id=wa_id,
            key=body.get("biz_opaque_callback_data"),
            category=template["category"].lower() if template else "service",
            in_window=self.handsets.window_open(number.phone_number_id, wa_id) is True,
            user_id=contact.user_id if contact else "",
        )
        sent.fail = self._fate(sent, template, contact, to)
        self._show(sent, kind, body, shown, template)
        pace = self.behaviour
        self.hourglass.later(pace.sent_ms / 1000, self.advance, sent, "failed" if sent.fail else "sent")
        self.dirty = True
        return sent

    def check_room(self) -> None:
        """Refuse while more updates wait for the product than this process should hold."""
        if len(self.hourglass.heap) + len(self.deliveries.ready) > WAITING_MOST:
            raise GraphError(131016, details="The sandbox holds too many undelivered webhooks; is the callback up?")

    def window_closed(self, number_id: str, wa_id: str) -> bool:
        """Whether only templates may be sent, as far as this sandbox heard."""
        is_open = self.handsets.window_open(number_id, wa_id)
        return self.behaviour.strangers == "refuse" if is_open is None else not is_open

    def _fate(self, sent: Sent, template: Template | None, contact: Contact | None, to: str) -> int:
        planned = self.faults.recipient(sent.wa_id, to)
        if planned:
            return int(planned["code"])
        if template is None and self.behaviour.window == "async" and self.window_closed(sent.number_id, sent.wa_id):
            return 131047
        if contact and contact.stopped and sent.category == "marketing":
            return 131050
        share = self.behaviour.fail_share
        return self.behaviour.fail_code if share and self.faults.dice.random() < share else 0

    def _show(self, sent: Sent, kind: str, body: dict[str, Any], shown: Any, template: Template | None) -> None:
        thread = self.handsets.thread(sent.number_id, sent.wa_id)
        if kind == "reaction":
            self._react(thread, body["reaction"], "business")
            return
        bubble = new_bubble(sent.wamid, kind, shown if template else body[kind], mine=False, status="accepted")
        if sent.key is not None:
            bubble["key"] = sent.key
        if template:
            bubble["template"] = template["name"]
        if body.get("context"):
            bubble["reply_to"] = body["context"]["message_id"]
        thread.bubbles.append(bubble)
        thread.typing_until = 0.0
        self.touch(thread)

    def _react(self, thread: Thread, reaction: dict[str, Any], who: str) -> None:
        bubble = thread.find(reaction["message_id"])
        if bubble:
            bubble.setdefault("reactions", {})[who] = reaction.get("emoji", "")
            self.touch(thread)

    def advance(self, sent: Sent, stage: str) -> None:
        """One step of a message's life: tell the product, mark the screen, plan the next step."""
        contact = self.handsets.contacts.get(sent.wa_id)
        if stage == "delivered" and not self._online(contact):
            self.asleep.setdefault(sent.wa_id, []).append(sent)
            return
        number = self.numbers.get(sent.number_id)
        if number is None:
            return
        thread = self.handsets.threads.get((sent.number_id, sent.wa_id))
        bubble = thread.find(sent.wamid) if thread else None
        if stage == "read" and bubble and bubble["status"] == "read":
            return
        self.deliveries.post(Update(number.waba_id, "messages", status=envelopes.status_of(sent, stage), number=number))
        if thread and bubble:
            bubble["status"] = stage
            if stage == "failed":
                bubble["error"] = sent.fail
            thread.unread += stage == "delivered"
            self.touch(thread)
        if stage == "sent":
            self.hourglass.later(self.behaviour.delivered_ms / 1000, self.advance, sent, "delivered")
        elif stage == "delivered" and self._reads(contact):
            self.hourglass.later(self.behaviour.read_ms / 1000, self._read_one, sent)

    def _online(self, contact: Contact | None) -> bool:
        return not self.behaviour.offline if contact is None or contact.online is None else contact.online

    def _reads(self, contact: Contact | None) -> bool:
        if contact is not None and contact.reads is not None:
            return contact.reads
        share = self.behaviour.reads
        return share >= 1 or (share > 0 and self.faults.dice.random() < share)

    def _read_one(self, sent: Sent) -> None:
        thread = self.handsets.threads.get((sent.number_id, sent.wa_id))
        if thread:
            thread.unread = max(0, thread.unread - 1)
        self.advance(sent, "read")

    def wake(self, wa_id: str | None = None) -> None:
        """Deliver what waited for a phone that is online again (all phones when none is named)."""
        for name in [wa_id] if wa_id else list(self.asleep):
            for sent in self.asleep.pop(name, []):
                self.hourglass.later(self.behaviour.delivered_ms / 1000, self.advance, sent, "delivered")

    def read_by_business(self, number: Number, message_id: str, typing: bool) -> None:
        """The business read this message and all before it; typing shows for 25 seconds or until it writes."""
        place = self.handsets.places.get(message_id)
        if place is None and self.behaviour.strangers == "trust":
            return
        if place is None or place[0] != number.phone_number_id:
            raise GraphError(100, details=f"Message with id {message_id} does not exist.", subcode=2494010)
        thread = self.handsets.threads.get(place)
        if thread is None:
            return
        before = True
        for bubble in thread.bubbles:
            if bubble["mine"] and before:
                bubble["status"] = "read"
            before = before and bubble["id"] != message_id
        if typing:
            thread.typing_until = time.time() + TYPING_SECONDS
        self.touch(thread)

    # -- messages of the contact --

    def say(self, number: Number, contact: Contact, message: dict[str, Any], at: float) -> None:
        """A contact's message in Meta's shape: onto its screen and out to the product."""
        kind = message["type"]
        thread = self.handsets.thread(number.phone_number_id, contact.wa_id)
        free_entry = "referral" in message
        if kind != "system":
            self.handsets.note_inbound(number.phone_number_id, contact.wa_id, message["id"], at, free_entry)
        if kind == "reaction":
            self._react(thread, message["reaction"], "contact")
        else:
            bubble = new_bubble(message["id"], kind, message.get(kind, {}), mine=True, status="sending")
            if "context" in message:
                bubble["reply_to"] = message["context"]["id"]
                self._choose(thread, message)
            thread.bubbles.append(bubble)
            self.touch(thread)
        value = envelopes.message_value(number, contact, message)
        mark = (number.phone_number_id, contact.wa_id, message["id"])
        self.deliveries.post(Update(number.waba_id, "messages", value=value, mark=mark))
        self.dirty = True

    def _choose(self, thread: Thread, message: dict[str, Any]) -> None:
        asked = thread.find(message["context"]["id"])
        if asked and message["type"] in ("button", "interactive"):
            inner = message[message["type"]]
            asked["chosen"] = inner.get("text") or inner.get(inner.get("type"), {}).get("title", "")

    def contact_reads(self, thread: Thread, up_to: str | None) -> int:
        """The contact reads what the business sent, up to a message or all of it; how many were new."""
        count = 0
        for bubble in list(thread.bubbles):
            if not bubble["mine"] and bubble["status"] == "delivered":
                sent = Sent(bubble["id"], thread.number_id, thread.wa_id, bubble.get("key"), "service", True)
                self.advance(sent, "read")
                count += 1
            if bubble["id"] == up_to:
                break
        thread.unread = 0
        self.touch(thread)
        return count

    def prefer(self, number: Number, contact: Contact, choice: str) -> None:
        """The contact stops or resumes marketing messages."""
        contact.stopped = choice == "stop"
        self.post(number.waba_id, "user_preferences", envelopes.preference_value(number, contact, choice))
        self.changed.add("list")

    def _arrived(self, mark: tuple[str, str, str]) -> None:
        thread = self.handsets.threads.get(mark[:2])
        bubble = thread.find(mark[2]) if thread else None
        if thread and bubble and bubble["status"] == "sending":
            bubble["status"] = "delivered"
            self.touch(thread)

    # -- the page and the whole --

    def touch(self, thread: Thread | None = None) -> None:
        """Note for open pages that a thread (or the list alone) changed."""
        self.dirty = True
        if self.watched:
            self.changed.add("/".join(thread.key) if thread else "list")

    def number(self, phone_number_id: str, verb: str = "post") -> Number:
        """A business number, or Meta's answer for an unknown object."""
        found = self.numbers.get(phone_number_id)
        if found is None:
            raise unknown_object(phone_number_id, verb)
        return found

    def reset(self, keep: set[str]) -> None:
        """Forget everything but the parts named: contacts, ledger, faults, behaviour, templates, media, waiting."""
        if "contacts" not in keep:
            self.handsets.clear()
            self.asleep.clear()
        if "waiting" not in keep:
            self.hourglass.heap.clear()
            self.deliveries.clear()
        if "ledger" not in keep:
            self.ledger.clear()
        if "faults" not in keep:
            self.faults.clear()
        if "behaviour" not in keep:
            self.behaviour.change(Behaviour().as_dict())
        if "templates" not in keep:
            self.add_first_number()
        if "media" not in keep:
            self.media.clear()
        self.resume_reviews()
        self.touch()


def new_bubble(message_id: str, kind: str, content: Any, *, mine: bool, status: str) -> Bubble:
    """One message on a contact's screen; `mine` is the contact's."""
    return {"id": message_id, "type": kind, "content": content, "mine": mine, "status": status, "at": time.time()}
