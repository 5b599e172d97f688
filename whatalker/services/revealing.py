"""A contact's whole number or id, for one look; its one rule: the look is in the audit before anybody has it."""

from __future__ import annotations

from sqlalchemy import select

from whatalker import models as m
from whatalker.access import Actor, Permission, require
from whatalker.db import session
from whatalker.services import auditing


def reveal(actor: Actor, contact: m.Contact) -> list[tuple[str, str]]:
    """(channel, number or id) of each identity, in full."""
    require(actor, Permission.CONTACT_REVEAL)
    i = m.ContactIdentity
    mine = (
        select(i)
        .where(i.organization_id == contact.organization_id, i.contact_id == contact.id)
        .order_by(i.created_at, i.id)
    )
    auditing.record(actor, "contact.revealed", contact, diff={})
    return [
        (identity.channel, identity.phone or identity.wa_id or identity.user_id or "")
        for identity in session.scalars(mine)
    ]
