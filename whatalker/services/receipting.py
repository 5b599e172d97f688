"""Which message of a contact is to be marked read at the provider; its one rule: the newest one says it for all before it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from whatalker import models as m
from whatalker.access import Actor, visible
from whatalker.channels import Sender
from whatalker.db import session
from whatalker.errors import Invalid
from whatalker.services import connecting


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    channel: str
    sender: Sender
    provider_id: str


def find_unconfirmed(actor: Actor, conversation_id: uuid.UUID) -> Unconfirmed | None:
    """The newest message of the contact, if somebody has seen all of them and the number can still be spoken for."""
    c, message = m.Conversation, m.Message
    conversation = session.scalar(visible(actor, c).where(c.id == conversation_id))
    if conversation is None or conversation.unread_count:
        return None
    newest = session.scalar(
        visible(actor, message).where(message.conversation_id == conversation_id, message.direction == "in",
                                      message.provider_id.is_not(None), message.kind != "reaction")
        .order_by(message.at.desc(), message.id.desc()).limit(1)
    )  # fmt: skip
    account = session.scalar(visible(actor, m.ChannelAccount).where(m.ChannelAccount.id == conversation.channel_account_id))
    if newest is None or account is None or not newest.provider_id:
        return None
    try:
        return Unconfirmed(account.channel, connecting.sender_of(account), newest.provider_id)
    except Invalid:
        return None
