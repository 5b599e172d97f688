"""Calls to the Graph API about templates and the number's health; lists are paged by cursor, never by an address it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from whatalker.channels import NumberHealth, RemoteTemplate, Sender
from whatalker.channels.whatsapp.graph_calls import ask, node
from whatalker.errors import ProviderError
from whatalker.http import Http

__all__ = ["create_template", "delete_template", "list_templates", "number_health"]

TEMPLATE_FIELDS = "id,name,language,status,category,components,quality_score,rejected_reason,parameter_format"
PAGE = 100
MOST_PAGES = 200
"""An account may hold 6,000 template translations; more pages than this is a loop."""

HEALTH_FIELDS = (
    "id,display_phone_number,verified_name,quality_rating,status,name_status,code_verification_status,"
    "throughput,whatsapp_business_manager_messaging_limit"
)
OLD_HEALTH_FIELDS = HEALTH_FIELDS.replace("whatsapp_business_manager_messaging_limit", "messaging_limit_tier")
LIMITS = {"TIER_50": 50, "TIER_250": 250, "TIER_1K": 1_000, "TIER_2K": 2_000, "TIER_10K": 10_000, "TIER_100K": 100_000}


async def list_templates(sender: Sender, http: Http) -> list[RemoteTemplate]:
    """All of the account, in the provider's order."""
    found: list[RemoteTemplate] = []
    after = None
    for _page in range(MOST_PAGES):
        query = {"fields": TEMPLATE_FIELDS, "limit": str(PAGE)} | ({"after": after} if after else {})
        url = f"{node(sender, sender.business_id, 'message_templates')}?{urlencode(query)}"
        said = await ask("GET", url, sender, http)
        rows = said.get("data")
        found += [_template(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        next_page = _cursor(said)
        if not rows or next_page is None or next_page == after:
            break
        after = next_page
    return found


async def create_template(sender: Sender, definition: Mapping[str, Any], http: Http) -> RemoteTemplate:
    said = await ask("POST", node(sender, sender.business_id, "message_templates"), sender, http, json=dict(definition))
    if not said.get("id"):
        raise ProviderError(
            "The provider's answer could not be read.", outcome="unknown", provider_code="malformed_answer"
        )
    return _template({**definition, **said})


async def delete_template(sender: Sender, name: str, http: Http, *, provider_id: str | None = None) -> None:
    query = {"name": name} | ({"hsm_id": provider_id} if provider_id else {})
    url = f"{node(sender, sender.business_id, 'message_templates')}?{urlencode(query)}"
    await ask("DELETE", url, sender, http)


async def number_health(sender: Sender, http: Http) -> NumberHealth:
    """Asks for the portfolio's limit; an API that does not know that field is asked for the older one."""
    address = node(sender, sender.external_id)
    try:
        said = await ask("GET", f"{address}?fields={HEALTH_FIELDS}", sender, http)
    except ProviderError as error:
        if error.outcome != "refused" or error.provider_code != "100":
            raise
        said = await ask("GET", f"{address}?fields={OLD_HEALTH_FIELDS}", sender, http)
    tier = _text(said.get("whatsapp_business_manager_messaging_limit")) or _text(said.get("messaging_limit_tier"))
    return NumberHealth(
        external_id=_text(said.get("id")) or sender.external_id,
        display_phone=_text(said.get("display_phone_number")),
        verified_name=_text(said.get("verified_name")),
        quality={"": "UNKNOWN", "NA": "UNKNOWN"}.get(
            _text(said.get("quality_rating")), _text(said.get("quality_rating"))
        ),
        status=_text(said.get("status")) or "UNKNOWN",
        limit=LIMITS.get(tier),
        limit_tier=tier or None,
        name_status=_text(said.get("name_status")) or None,
        raw=said,
    )


def _template(row: Mapping[str, Any]) -> RemoteTemplate:
    components = row.get("components")
    quality = row.get("quality_score")
    return RemoteTemplate(
        provider_id=_text(row.get("id")),
        name=_text(row.get("name")),
        language=_text(row.get("language")),
        status=_text(row.get("status")).upper(),
        category=_text(row.get("category")).upper(),
        components=[part for part in components if isinstance(part, dict)] if isinstance(components, list) else [],
        quality=(_text(quality.get("score")) if isinstance(quality, dict) else _text(quality)) or None,
        rejected_reason=_text(row.get("rejected_reason")).replace("NONE", "") or None,
        parameter_format=_text(row.get("parameter_format")).upper() or "POSITIONAL",
    )


def _cursor(said: Mapping[str, Any]) -> str | None:
    paging = said.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    return (_text(cursors.get("after")) or None) if isinstance(cursors, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
