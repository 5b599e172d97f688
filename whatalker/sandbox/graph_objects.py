"""Templates, numbers and subscriptions over the Graph API; an id that is none of them is an unknown object."""

import secrets
from typing import Any

from aiohttp import web

from .deliveries import Target
from .emulator import Emulator
from .envelopes import Number
from .refusals import GraphError, unknown_object, wrong
from .templatebook import FIELDS, view

USUAL_FIELDS = "id,display_phone_number,verified_name,quality_rating"
PORTFOLIO_TIERS = "whatsapp_business_manager_messaging_limit"


async def body_of(request: web.Request) -> dict[str, Any]:
    """The parameters of a call: a JSON body, else query and form."""
    if request.content_type == "application/json" and request.can_read_body:
        try:
            body = await request.json()
        except ValueError:
            raise wrong("Invalid JSON in the request body.") from None
        if not isinstance(body, dict):
            raise wrong("The request body must be a JSON object.")
        return body
    return dict(request.query) | {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def here(request: web.Request) -> str:
    """This server's own address as the caller knows it."""
    return f"{request.scheme}://{request.host}"


def account(emulator: Emulator, waba_id: str, verb: str) -> str:
    """A business account of this sandbox."""
    if waba_id not in emulator.templates.rows:
        raise unknown_object(waba_id, verb)
    return waba_id


async def show(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """GET /{id}: a number, a template, a file or a business account."""
    if node in emulator.numbers:
        return number_view(emulator.numbers[node], request.query.get("fields", USUAL_FIELDS))
    if node in emulator.media.rows:
        owner = request.query.get("phone_number_id")
        if owner and owner != emulator.media.rows[node]["owner"]:
            raise unknown_object(node, "get")
        return emulator.media.described(node, here(request))
    if template := emulator.templates.by_id(node):
        fields = request.query.get("fields")
        return view(template, fields.split(",") if fields else list(FIELDS))
    account(emulator, node, "get")
    return {
        "id": node,
        "name": "Lucky Shrub",
        "timezone_id": "1",
        "currency": "USD",
        "message_template_namespace": node,
    }


def number_view(number: Number, fields: str) -> dict[str, Any]:
    """The asked fields of a number; an unknown one is refused as Meta does."""
    full: dict[str, Any] = {
        "id": number.phone_number_id,
        "display_phone_number": number.display_phone_number,
        "verified_name": number.verified_name,
        "quality_rating": number.quality,
        "quality_score": {"score": number.quality},
        "messaging_limit_tier": number.limit,
        PORTFOLIO_TIERS: number.limit,
        "status": number.status,
        "name_status": number.name_status,
        "new_name_status": "NONE",
        "throughput": {"level": number.throughput},
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "host_platform": "CLOUD_API",
        "account_mode": "SANDBOX",
        "is_official_business_account": False,
        "is_pin_enabled": True,
        "country_dial_code": number.digits[:1],
        "last_onboarded_time": "2025-01-01T00:00:00+0000",
        "webhook_configuration": {},
        "health_status": {"can_send_message": "AVAILABLE" if number.status == "CONNECTED" else "BLOCKED"},
    }
    names = [name.strip() for name in fields.split(",") if name.strip()]
    for name in names:
        if name not in full:
            raise GraphError(
                100, f"(#100) Tried accessing nonexisting field ({name}) on node type (WhatsAppBusinessPhoneNumber)"
            )
    return {name: full[name] for name in names} | {"id": number.phone_number_id}


async def list_numbers(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """GET /{waba_id}/phone_numbers"""
    account(emulator, node, "get")
    fields = request.query.get("fields", USUAL_FIELDS + ",code_verification_status,platform_type,throughput")
    rows = [number_view(number, fields) for number in emulator.numbers.values() if number.waba_id == node]
    return {"data": rows, "paging": {"cursors": {"before": "MAZDZD", "after": "MjQZD"}}}


async def list_templates(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """GET /{waba_id}/message_templates"""
    return emulator.templates.page(account(emulator, node, "get"), dict(request.query), here(request) + request.path)


async def create_template(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """POST /{waba_id}/message_templates: PENDING now, decided after a moment."""
    template = emulator.templates.create(account(emulator, node, "post"), await body_of(request))
    emulator.start_review(template)
    emulator.dirty = True
    return {"id": template["id"], "status": template["status"], "category": template["category"]}


async def delete_templates(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """DELETE /{waba_id}/message_templates?name=…&hsm_id=…"""
    waba_id = account(emulator, node, "delete")
    emulator.templates.delete(waba_id, request.query.get("name"), request.query.get("hsm_id"))
    emulator.dirty = True
    return {"success": True}


async def edit(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """POST /{template_id}: new components, reviewed again."""
    template = emulator.templates.by_id(node)
    if template is None:
        raise unknown_object(node)
    emulator.templates.edit(template, await body_of(request))
    emulator.start_review(template)
    emulator.dirty = True
    return {"success": True}


async def delete(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """DELETE /{media_id}"""
    row = emulator.media.rows.get(node)
    owner = request.query.get("phone_number_id")
    if row is None or (owner and owner != row["owner"]):
        raise unknown_object(node, "delete")
    emulator.media.drop(node)
    emulator.dirty = True
    return {"success": True}


async def list_subscriptions(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """GET /{waba_id}/subscribed_apps"""
    account(emulator, node, "get")
    row: dict[str, Any] = {
        "whatsapp_business_api_data": {"id": "1234567890123456", "name": "Sandbox app", "link": here(request)}
    }
    if emulator.target.url and emulator.target.url != emulator.settings.callback:
        row["override_callback_uri"] = emulator.target.url
    return {"data": [row] if emulator.target.url else []}


async def subscribe(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """POST /{waba_id}/subscribed_apps: a new callback address is taken only when it passes the handshake."""
    account(emulator, node, "post")
    body = await body_of(request)
    address = body.get("override_callback_uri")
    if address:
        target = Target(
            str(address), emulator.target.app_secret, str(body.get("verify_token") or emulator.target.verify_token)
        )
        status = await emulator.deliveries.handshake(target, str(secrets.randbelow(10**10)))
        if status != 200:
            raise GraphError(
                100,
                f"(#2200) Callback verification failed with the following errors: HTTP Status Code = {status}; "
                "HTTP Message = callback did not echo the challenge",
                status=400,
                subcode=2200,
            )
        emulator.target.url, emulator.target.verify_token = target.url, target.verify_token
        emulator.deliveries.nudge()
        emulator.dirty = True
    return {"success": True}


async def unsubscribe(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """DELETE /{waba_id}/subscribed_apps: back to the callback address of the start."""
    account(emulator, node, "delete")
    emulator.target.url = emulator.settings.callback
    return {"success": True}
