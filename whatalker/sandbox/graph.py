"""The routes of the Graph API: every call is checked for token, faults and shape, in that order, and booked."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from . import graph_files, graph_objects
from .bearer import EMULATOR, check_token
from .emulator import Emulator
from .envelopes import Number
from .faults import AFTER
from .placeholders import check_fill
from .refusals import DETAILS, GraphError, invalid, required, trace_id, unknown_object, wrong
from .shapes import check_envelope, check_message, check_read
from .waids import canonical, digits_of

HEADERS = {"facebook-api-version": "v23.0"}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# Kept, because json.dumps and json.loads with options build a new encoder or decoder for every call.
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
DECODE = json.JSONDecoder(parse_constant=_no_constant).decode

Call = Callable[[Emulator, web.Request, str], Awaitable[Any]]
# (method, edge): (scope of the faults, what answers)
CALLS: dict[tuple[str, str], tuple[str, Call]] = {
    ("POST", "media"): ("media", graph_files.upload),
    ("GET", ""): ("numbers", graph_objects.show),
    ("POST", ""): ("templates", graph_objects.edit),
    ("DELETE", ""): ("media", graph_objects.delete),
    ("GET", "message_templates"): ("templates", graph_objects.list_templates),
    ("POST", "message_templates"): ("templates", graph_objects.create_template),
    ("DELETE", "message_templates"): ("templates", graph_objects.delete_templates),
    ("GET", "phone_numbers"): ("numbers", graph_objects.list_numbers),
    ("GET", "subscribed_apps"): ("numbers", graph_objects.list_subscriptions),
    ("POST", "subscribed_apps"): ("numbers", graph_objects.subscribe),
    ("DELETE", "subscribed_apps"): ("numbers", graph_objects.unsubscribe),
}


def add_routes(app: web.Application) -> None:
    """Every version prefix is the same API."""
    app.router.add_post(r"/{version:v\d+\.\d+}/{node}/messages", answer_messages)
    app.router.add_route("*", r"/{version:v\d+\.\d+}/{node}", answer_object)
    app.router.add_route("*", r"/{version:v\d+\.\d+}/{node}/{edge}", answer_object)
    app.router.add_get("/whatsapp_business/attachments/", graph_files.download)


class Cut(Exception):
    """The connection is cut instead of an answer."""


async def answer_object(request: web.Request) -> web.StreamResponse:
    """Everything but messages: media, templates, numbers, subscriptions."""
    emulator = request.app[EMULATOR]
    node, edge = request.match_info["node"], request.match_info.get("edge", "")
    found = CALLS.get((request.method, edge))
    fault: str | None = None
    status = 0
    try:
        check_token(emulator, request)
        if found is None:
            raise unknown_object(node, request.method.lower())
        scope, call = found
        drawn = emulator.faults.draw(scope)
        fault = drawn["do"] if drawn else None
        await _misfortune(emulator, drawn)
        answer = await call(emulator, request, node)
        if fault in AFTER:
            await _spoil(emulator, fault)
        status = 200
    except GraphError as error:
        answer, status = error.body(), error.status
    except Cut:
        answer, status = None, 0
    finally:  # also when the caller hangs up while it waits
        _book_call(emulator, request, node, edge, status, fault=fault)
    if fault == "malformed" and status == 200:
        return _broken()
    return _cut(request) if status == 0 else _answer(answer, status)


async def answer_messages(request: web.Request) -> web.StreamResponse:
    """POST /{phone_number_id}/messages: a message, or a read receipt with or without typing."""
    emulator = request.app[EMULATOR]
    node = request.match_info["node"]
    raw = await request.read()
    body: dict[str, Any] = {}
    fault: str | None = None
    wamid, status = "", 0
    try:
        check_token(emulator, request, node)
        body = parse(raw)
        reading = "status" in body
        drawn = emulator.faults.draw("read" if reading else "messages")
        fault = drawn["do"] if drawn else None
        await _misfortune(emulator, drawn)
        number = emulator.number(node)
        answer = read(emulator, number, body) if reading else send(emulator, number, body)
        if not reading:
            wamid = answer["messages"][0]["id"]
            _book_accepted(emulator, number, body, raw, answer, fault if fault in AFTER else "ok")
        if fault in AFTER:
            await _spoil(emulator, fault)
        status = 200
    except GraphError as error:
        answer, status = error.body(), error.status
        if not wamid and "status" not in body:
            _book_refused(emulator, node, body, raw, error)
    except Cut:
        answer, status = None, 0
    finally:  # also when the caller hangs up while it waits
        facts = {"fault": fault, "wamid": wamid, "body": raw if "status" in body else None}
        _book_call(emulator, request, node, "messages", status, **facts)
    if fault == "malformed" and status == 200:
        return _broken()
    return _cut(request) if status == 0 else _answer(answer, status)


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body."""
    try:
        body = DECODE(raw.decode())
    except (ValueError, RecursionError):
        raise wrong("Invalid JSON in the request body.") from None
    if not isinstance(body, dict):
        raise wrong("The request body must be a JSON object.")
    return body


async def _misfortune(emulator: Emulator, drawn: dict[str, Any] | None) -> None:
    """Wait the latency; a drawn fault that comes before acceptance happens here."""
    faults = emulator.faults
    if seconds := faults.latency():
        await asyncio.sleep(seconds)
    if drawn is None or drawn["do"] in AFTER:
        return
    what = drawn["do"]
    if what == "rate_429":
        raise GraphError(130429, details=DETAILS[130429])
    if what == "code":
        raise GraphError(drawn["code"], details=DETAILS.get(drawn["code"], ""))
    if what == "hang":
        await asyncio.sleep(faults.setting["hang_ms"] / 1000)
    if what == "error_before":
        raise GraphError(131000, details="Something went wrong before the message was accepted.", status=500)
    raise Cut


async def _spoil(emulator: Emulator, what: str | None) -> None:
    """The call was carried out, and the answer is lost in the drawn way."""
    if what == "error_after":
        raise GraphError(2, "An unexpected error has occurred. Please retry your request later.", status=500)
    if what == "hang_after":
        await asyncio.sleep(emulator.faults.setting["hang_ms"] / 1000)
    if what != "malformed":
        raise Cut


def _broken() -> web.Response:
    return web.Response(text='{"messaging_product":"whatsapp","contacts":[{"inp', content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    """Reset the connection, the way a crashed server does."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


def _answer(answer: Any, status: int) -> web.Response:
    headers = HEADERS if status == 200 else HEADERS | {"WWW-Authenticate": 'OAuth "Facebook Platform"'}
    headers = headers | {"x-fb-trace-id": trace_id()} if status != 200 else headers
    return web.Response(
        body=ENCODE(answer).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def read(emulator: Emulator, number: Number, body: dict[str, Any]) -> dict[str, Any]:
    """A read receipt."""
    check_envelope(body)
    message_id = check_read(body)
    emulator.read_by_business(number, message_id, "typing_indicator" in body)
    return {"success": True}


def send(emulator: Emulator, number: Number, body: dict[str, Any]) -> dict[str, Any]:
    """A message: checked, accepted, answered; nothing is kept of one that is refused."""
    check_envelope(body)
    to, wa_id, contact = recipient(emulator, body)
    kind = check_message(body, lambda media_id: media_id in emulator.media.rows)
    template, shown = None, None
    if kind == "template":
        template = emulator.templates.sendable(number.waba_id, body["template"])
        shown = check_fill(template, body["template"].get("components"))
    if number.status != "CONNECTED":
        raise GraphError(131031, details="Business account has been locked.")
    if wa_id == number.digits:
        raise GraphError(131021)
    planned = emulator.faults.recipient(wa_id, to)
    if planned and planned.get("how") == "answer":
        raise GraphError(int(planned["code"]), details=DETAILS.get(int(planned["code"]), ""))
    if emulator.faults.too_soon(number.phone_number_id, wa_id):
        raise GraphError(131056, details=DETAILS[131056])
    refuses = emulator.behaviour.window == "sync" and template is None
    if refuses and emulator.window_closed(number.phone_number_id, wa_id):
        raise GraphError(131047, details=DETAILS[131047])
    emulator.check_room()
    sent = emulator.accept(number, kind, body, to, wa_id, template, shown)
    return {
        "messaging_product": "whatsapp",
        "contacts": [contact],
        "messages": [{"id": sent.wamid, "message_status": "accepted"}],
    }


def recipient(emulator: Emulator, body: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
    """(as given, wa_id, entry of `contacts` in the answer). `to` goes before `recipient`, the business-scoped id."""
    to = body.get("to")
    if to is None or to == "":
        user_id = body.get("recipient")
        if not isinstance(user_id, str) or not user_id:
            raise required("to")
        known = emulator.handsets.by_user_id(user_id)
        if known is None:
            raise invalid(f"Recipient {user_id} is not known.")
        return user_id, known.wa_id, {"input": user_id, "user_id": user_id}
    if not isinstance(to, str):
        raise wrong("Param to must be a string.")
    digits = digits_of(to)
    if digits is None:
        raise invalid(f"Recipient phone number is not a phone number: {to[:40]}")
    wa_id = canonical(digits)
    return to, wa_id, {"input": to, "wa_id": wa_id}


def _book_call(emulator: Emulator, request: web.Request, node: str, edge: str, status: int, **facts: Any) -> None:
    known = {name: value for name, value in facts.items() if value}
    emulator.ledger.add("call", method=request.method, path=request.path, node=node, edge=edge, status=status, **known)


def _book_refused(emulator: Emulator, node: str, body: dict[str, Any], raw: bytes, error: GraphError) -> None:
    facts = {"to": body.get("to"), "key": body.get("biz_opaque_callback_data"), "phone_number_id": node, "body": raw}
    emulator.ledger.add("refused", code=error.code, status=error.status, **facts)


def _book_accepted(
    emulator: Emulator, number: Number, body: dict[str, Any], raw: bytes, answer: dict[str, Any], how: str
) -> None:
    contact = answer["contacts"][0]
    facts: dict[str, Any] = {"template": body["template"]["name"]} if "template" in body else {}
    emulator.ledger.add(
        "accepted",
        wamid=answer["messages"][0]["id"],
        to=contact["input"],
        wa_id=contact.get("wa_id", ""),
        type=body.get("type", "text"),
        key=body.get("biz_opaque_callback_data"),
        phone_number_id=number.phone_number_id,
        answer=how,
        body=raw,
        **facts,
    )
