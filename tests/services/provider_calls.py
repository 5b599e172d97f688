"""Webhook bodies as WhatsApp sends them, and the intake run over them; its one rule: no shortcut around the stored call."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import text, update

from tests import factories
from whatalker import models as m
from whatalker.db import session, transaction
from whatalker.jobs.intake import intake
from whatalker.services import collecting
from whatalker.tenancy import as_organization

EXAMPLES = Path(__file__).parent.parent / "channels" / "webhook_examples"
PHONE_NUMBER_ID, WABA = "106540352242922", "102290129340398"
SECRET = "test-app-secret"
ANA = "573001234567"
_ids = itertools.count(1)


def example(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return body


def every_example() -> list[tuple[str, dict[str, Any]]]:
    return [(path.stem, json.loads(path.read_text())) for path in sorted(EXAMPLES.glob("*.json"))]


def change(value: dict[str, Any], field: str = "messages", waba: str = WABA) -> dict[str, Any]:
    entry = {"id": waba, "time": 1750300000, "changes": [{"field": field, "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def _value(number: str, **parts: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": number}
    return {"messaging_product": "whatsapp", "metadata": metadata, **parts}


def message(
    words: str = "Hola", sender: str = ANA, at: int = 1750300100, id: str = "", number: str = PHONE_NUMBER_ID,
    name: str = "Ana", user_id: str = "", **parts: Any,
) -> dict[str, Any]:  # fmt: skip
    """A body with one message; `parts` replace or add to it."""
    person: dict[str, Any] = {"profile": {"name": name}} if name else {}
    raw: dict[str, Any] = {"id": id or f"wamid.IN{next(_ids)}", "timestamp": str(at), "type": "text", "text": {"body": words}}
    if sender:
        raw["from"] = person["wa_id"] = sender
    if user_id:
        raw["from_user_id"] = person["user_id"] = user_id
    return change(_value(number, contacts=[person], messages=[raw | parts]))


def tick(
    provider_id: str, status: str = "delivered", at: int = 1750300200, number: str = PHONE_NUMBER_ID, key: str = "",
    recipient: str = ANA, **parts: Any,
) -> dict[str, Any]:  # fmt: skip
    raw = {"id": provider_id, "status": status, "timestamp": str(at), "recipient_id": recipient}
    raw |= {"biz_opaque_callback_data": key} if key else {}
    return change(_value(number, statuses=[raw | parts]))


def echo(words: str, to: str = ANA, at: int = 1750300150, id: str = "") -> dict[str, Any]:
    raw = {"from": "15550783881", "to": to, "id": id or f"wamid.ECHO{next(_ids)}", "timestamp": str(at), "type": "text",
           "text": {"body": words}}  # fmt: skip
    return change(_value(PHONE_NUMBER_ID, message_echoes=[raw]), "smb_message_echoes")


def preference(choice: str, at: int, wa_id: str = ANA) -> dict[str, Any]:
    raw = {"wa_id": wa_id, "detail": "", "category": "marketing_messages", "value": choice, "timestamp": str(at)}
    return change(_value(PHONE_NUMBER_ID, user_preferences=[raw]), "user_preferences")


def as_body(call: Any) -> bytes:
    return call if isinstance(call, bytes) else json.dumps(call).encode()


def sign(body: bytes) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}


def store(*calls: Any) -> None:
    with transaction():
        for call in calls:
            collecting.store_call("whatsapp", as_body(call))


def take_in(*calls: Any, batch: int = collecting.BATCH) -> None:
    """Store the calls and run the intake, as many calls in a batch as said."""
    for start in range(0, len(calls), batch):
        store(*calls[start : start + batch])
        intake()


def make_number(organization: m.Organization, **values: Any) -> m.ChannelAccount:
    ids = {"external_id": PHONE_NUMBER_ID, "business_id": WABA, "display_number": "+1 555-078-3881"}
    return factories.make_channel_account(organization, **ids | values)


def make_sent(conversation: m.Conversation, provider_id: str | None, status: str = "sent", **values: Any) -> m.Message:
    """A message of ours that has left."""
    return factories.make_message(
        conversation, "out", status=status, provider_id=provider_id, **{"attempt": 1} | values
    )


def call_states() -> dict[str, int]:
    with transaction():
        rows = session.execute(text("select state, count(*) from webhook_call group by state"))
        return {state: count for state, count in rows}


def due_now() -> None:
    """Let parked calls be due."""
    with transaction():
        session.execute(text("update webhook_call set available_at = now() where state = 'parked'"))


def all_of(model: Any, organization: Any, *order: Any) -> list[Any]:
    id = whose(organization)
    with transaction(), as_organization(id):
        session.expunge_all()
        return list(session.query(model).filter_by(organization_id=id).order_by(*order))


def one_of(model: Any, organization: Any) -> Any:
    (found,) = all_of(model, organization)
    return found


def set_on(model: Any, organization: Any, **values: Any) -> None:
    """On every row of the organization."""
    with transaction(), as_organization(whose(organization)):
        session.execute(update(model).where(model.organization_id == whose(organization)).values(**values))
        session.expunge_all()


def whose(organization: Any) -> uuid.UUID:
    """The organization's id, of an organization, of any row of it, or of the id itself."""
    if isinstance(organization, uuid.UUID):
        return organization
    id: uuid.UUID = getattr(organization, "organization_id", None) or organization.id
    return id
