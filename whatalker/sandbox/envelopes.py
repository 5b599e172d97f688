"""The exact JSON of Meta's webhooks; this file builds dictionaries and decides nothing."""

import hashlib
import time
from dataclasses import asdict, dataclass
from typing import Any

from .handsets import Contact
from .refusals import status_error

Value = dict[str, Any]


@dataclass(slots=True)
class Number:
    """A business phone number and its health."""

    phone_number_id: str
    waba_id: str
    display_phone_number: str
    verified_name: str = "Lucky Shrub"
    access_token: str = ""
    "Its own token; empty means the sandbox's."
    quality: str = "GREEN"
    limit: str = "TIER_1K"
    status: str = "CONNECTED"
    name_status: str = "APPROVED"
    throughput: str = "STANDARD"

    @property
    def digits(self) -> str:
        """The display number as webhooks write it: digits only."""
        return "".join(char for char in self.display_phone_number if char.isdigit())

    def dump(self) -> Value:
        """As JSON can hold it."""
        return asdict(self)


@dataclass(slots=True)
class Sent:
    """One accepted message on its way to a contact."""

    wamid: str
    number_id: str
    wa_id: str
    key: str | None
    category: str
    in_window: bool
    fail: int = 0
    "Code it will fail with, 0 for none."
    user_id: str = ""


def metadata(number: Number) -> Value:
    """Who the webhook is for."""
    return {"display_phone_number": number.digits, "phone_number_id": number.phone_number_id}


def profile(contact: Contact) -> Value:
    """One entry of `contacts`; a contact that hides its number is known by its business-scoped id alone."""
    inner = {"name": contact.name or contact.wa_id} | ({"username": contact.username} if contact.username else {})
    entry: Value = {"profile": inner}
    if not contact.hide_wa_id:
        entry["wa_id"] = contact.wa_id
    if contact.user_id:
        entry["user_id"] = contact.user_id
    return entry


def message_value(number: Number, contact: Contact, message: Value) -> Value:
    """`value` of an incoming message; system messages come without contacts."""
    value: Value = {"messaging_product": "whatsapp", "metadata": metadata(number)}
    if message["type"] != "system":
        value["contacts"] = [profile(contact)]
    value["messages"] = [message]
    return value


def status_of(sent: Sent, stage: str) -> Value:
    """One entry of `statuses` for this stage, now."""
    now = int(time.time())
    status: Value = {"id": sent.wamid, "status": stage, "timestamp": str(now), "recipient_id": sent.wa_id}
    if sent.user_id:
        status["recipient_user_id"] = sent.user_id
    if sent.key is not None:
        status["biz_opaque_callback_data"] = sent.key
    if stage == "failed":
        status["errors"] = [status_error(sent.fail)]
    elif stage != "read":
        day = hashlib.md5(f"{sent.number_id}{sent.wa_id}{sent.category}{now // 86400}".encode(), usedforsecurity=False)
        conversation: Value = {"id": day.hexdigest(), "origin": {"type": sent.category}}
        if stage == "sent":
            conversation["expiration_timestamp"] = str(now + 86400)
        free = sent.category == "service" or (sent.category == "utility" and sent.in_window)
        status["conversation"] = conversation
        status["pricing"] = {
            "billable": not free,
            "pricing_model": "PMP",
            "type": "free_customer_service" if free else "regular",
            "category": sent.category,
        }
    return status


def status_value(number: Number, statuses: list[Value]) -> Value:
    """`value` of a batch of statuses of one number."""
    return {"messaging_product": "whatsapp", "metadata": metadata(number), "statuses": statuses}


def preference_value(number: Number, contact: Contact, choice: str) -> Value:
    """`value` of a contact's wish to stop or resume marketing messages."""
    wish: Value = {
        "wa_id": contact.wa_id,
        "detail": f"User requested to {choice} marketing messages",
        "category": "marketing_messages",
        "value": choice,
        "timestamp": int(time.time()),
    }
    if contact.user_id:
        wish["user_id"] = contact.user_id
    return {
        "messaging_product": "whatsapp",
        "metadata": metadata(number),
        "contacts": [profile(contact)],
        "user_preferences": [wish],
    }


def template_value(template: Value, **more: Any) -> Value:
    """The part every webhook about a template has."""
    return {
        "message_template_id": int(template["id"]),
        "message_template_name": template["name"],
        "message_template_language": template["language"],
    } | more


def payload(entries: dict[str, list[Value]]) -> Value:
    """The whole body: changes by business account."""
    now = int(time.time())
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": waba_id, "time": now, "changes": changes} for waba_id, changes in entries.items()],
    }
