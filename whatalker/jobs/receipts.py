"""Blue ticks for the contact: the newest message somebody has read is marked read at the provider; its one rule: losing one costs nothing."""

from __future__ import annotations

import asyncio
import uuid
from urllib.parse import urlsplit

import structlog
from flask import current_app

from whatalker import channels
from whatalker.access import system
from whatalker.db import transaction
from whatalker.errors import ProviderError
from whatalker.http import Http
from whatalker.services import receipting
from whatalker.services.receipting import Unconfirmed
from whatalker.tenancy import as_organization

log = structlog.get_logger(__name__)


def confirm_read(organization_id: str, conversation_id: str) -> bool:
    """Tell the provider; True when it was told. Twice is once, and a refusal is only logged: nothing depends on it."""
    organization = uuid.UUID(organization_id)
    with as_organization(organization), transaction():
        found = receipting.find_unconfirmed(system("receipts", organization), uuid.UUID(conversation_id))
    if found is None:
        return False
    try:
        asyncio.run(_tell(found))
    except ProviderError as error:
        log.info("read_not_confirmed", code=error.provider_code, outcome=error.outcome)
        return False
    return True


async def _tell(found: Unconfirmed) -> None:
    base = urlsplit(current_app.config["WHATSAPP_API_BASE"])
    host = f"{base.hostname}:{base.port or (443 if base.scheme == 'https' else 80)}"
    async with Http(allowed_inner=(host,), limit=1) as http:
        await channels.get(found.channel).mark_read(found.sender, found.provider_id, http)
