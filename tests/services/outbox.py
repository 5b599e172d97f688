"""Messages waiting to be sent, and the outbox run over them; its one rule: the real job, the real channel, the real database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select

from tests import factories
from whatalker import channels
from whatalker import models as m
from whatalker.channels.console import Console
from whatalker.db import new_id, now, session, transaction
from whatalker.jobs.dispatch import dispatch
from whatalker.tenancy import as_organization


@contextmanager
def inside(organization: m.Organization | m.ChannelAccount | m.Conversation | m.Message) -> Iterator[None]:
    """A transaction as this organization."""
    id = organization.id if isinstance(organization, m.Organization) else organization.organization_id
    with transaction(), as_organization(id):
        yield


def make_number(organization: m.Organization, **values: Any) -> m.ChannelAccount:
    """A number whose provider is the Console, fast enough to be no hindrance."""
    return factories.make_channel_account(organization, **{"channel": "console", "throughput": 1000} | values)


def console() -> Console:
    found = channels.get("console")
    assert isinstance(found, Console)
    return found


def sent_keys() -> list[str]:
    return [outgoing.key for outgoing in console().sent]


def make_conversations(number: m.ChannelAccount, count: int) -> list[m.Conversation]:
    """Many at once, each with a contact of its own; their windows are open."""
    organization, moment = number.organization_id, now()
    contacts = [
        {"organization_id": organization, "id": new_id(), "name": f"Person {n}", "name_folded": f"person {n}", "fields": {},
         "renamed": False, "created_at": moment, "updated_at": moment}
        for n in range(count)
    ]  # fmt: skip
    first = 573_100_000_000 + uuid.uuid4().int % 10**8
    identities = [
        {"organization_id": organization, "id": new_id(), "contact_id": contact["id"], "channel": number.channel,
         "wa_id": str(first + n), "canonical": str(first + n), "last_digits": str(first + n)[-4:], "aliases": [], "heard": {},
         "created_at": moment}
        for n, contact in enumerate(contacts)
    ]  # fmt: skip
    conversations = [
        {"organization_id": organization, "id": new_id(), "contact_id": contact["id"], "identity_id": identity["id"],
         "channel_account_id": number.id, "status": "open", "unread_count": 0, "last_message_at": moment, "last_preview": "",
         "last_direction": "in", "last_inbound_at": moment, "window_expires_at": moment + timedelta(hours=24),
         "created_at": moment}
        for contact, identity in zip(contacts, identities, strict=True)
    ]  # fmt: skip
    with inside(number):
        session.execute(insert(m.Contact), contacts)
        session.execute(insert(m.ContactIdentity), identities)
        session.execute(insert(m.Conversation), conversations)
        ids = [row["id"] for row in conversations]
        return list(session.scalars(select(m.Conversation).where(m.Conversation.id.in_(ids)).order_by(m.Conversation.id)))


def make_waiting(conversations: Iterable[m.Conversation], **values: Any) -> list[uuid.UUID]:
    """One queued message in each, due at once."""
    moment = now()
    rows = [
        {"organization_id": c.organization_id, "id": new_id(), "conversation_id": c.id, "contact_id": c.contact_id,
         "channel_account_id": c.channel_account_id, "direction": "out", "kind": "text", "content": {"text": "Hello"},
         "text": "Hello", "status": "queued", "at": moment, "created_at": moment, "author_kind": "system",
         "purpose": "service_reply", "lane": "interactive", "available_at": moment, "hold_reason": "", "attempt": 0,
         "error_code": "", "error_text": ""} | values
        for c in conversations
    ]  # fmt: skip
    with transaction(), as_organization(rows[0]["organization_id"]):
        session.execute(insert(m.Message), rows)
    return [row["id"] for row in rows]


def run_outbox(number: m.ChannelAccount, lane: str = "interactive") -> None:
    dispatch(str(number.organization_id), str(number.id), lane)


def read(number: m.ChannelAccount, *ids: uuid.UUID) -> list[m.Message]:
    """The messages as they are now, oldest first; all of the number's without ids."""
    query = select(m.Message).where(m.Message.channel_account_id == number.id).order_by(m.Message.id)
    with inside(number):
        return list(session.scalars(
            (query.where(m.Message.id.in_(ids)) if ids else query).execution_options(populate_existing=True)
        ))  # fmt: skip


def timeline(number: m.ChannelAccount, id: uuid.UUID) -> list[str]:
    e = m.MessageEvent
    with inside(number):
        return list(session.scalars(select(e.kind).where(e.message_id == id).order_by(e.recorded_at, e.id)))


def decisions(number: m.ChannelAccount) -> list[m.SendDecision]:
    with inside(number):
        return list(session.scalars(select(m.SendDecision).order_by(m.SendDecision.id)))
