"""How a number is and which templates it has, asked at the provider; its one rule: the call is made between two transactions."""

from __future__ import annotations

import uuid

import structlog

from whatalker import access
from whatalker.channels.provider_codes import explain
from whatalker.db import transaction
from whatalker.errors import Invalid, NotFound, ProviderError
from whatalker.services import connecting
from whatalker.tenancy import as_organization

log = structlog.get_logger(__name__)


def refresh_number(organization_id: str, channel_account_id: str) -> None:
    """Bring our copy of the number's health and templates up to date; may run twice at once, the last answer stays."""
    organization = uuid.UUID(organization_id)
    actor = access.system("number refresh", organization)
    with as_organization(organization):
        try:
            with transaction():
                account = connecting.find_number(actor, channel_account_id)
                channel, connected = account.channel, account.state != "disconnected"
                sender = connecting.sender_of(account) if connected else None
        except (NotFound, Invalid):
            return  # it is gone, or it has no token to ask with
        if sender is None:
            return
        try:
            health = connecting.ask_health(channel, sender)
            templates = connecting.ask_templates(channel, sender)
        except ProviderError as error:
            _note(actor, channel_account_id, error)
            return
        with transaction():
            account = connecting.find_number(actor, channel_account_id)
            connecting.apply_health(actor, account, health)
            connecting.store_templates(actor, account, templates)


def _note(actor: access.Actor, channel_account_id: str, error: ProviderError) -> None:
    """An answer that stops numbers stops this one; anything else is tried again by the next round."""
    log.warning("number_not_refreshed", provider_code=error.provider_code, outcome=error.outcome)
    code = error.provider_code or ""
    with transaction():
        account = connecting.find_number(actor, channel_account_id)
        fact = explain(connecting.PROVIDERS.get(account.channel, account.channel), code)
        if error.outcome == "refused" and fact.stops_number:
            connecting.stop_number(account, code, fact.text(), actor)
