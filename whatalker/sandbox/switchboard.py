"""The control routes under /_sandbox: for tests and for whoever runs the sandbox, from this machine only, JSON only."""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .bearer import EMULATOR
from .behaviour import BULK
from .deliveries import Target
from .emulator import Emulator
from .envelopes import Number
from .newsroom import tell

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOCAL = ("127.0.0.1", "localhost", "[::1]")
PARTS = {"contacts", "waiting", "ledger", "faults", "behaviour", "templates", "media"}


def add_routes(app: web.Application) -> None:
    """All control routes but the phone's."""
    app.router.add_get("/healthz", healthz)
    app.router.add_route("*", "/_sandbox/faults", faults)
    app.router.add_route("*", "/_sandbox/behaviour", behaviour)
    app.router.add_post("/_sandbox/bulk", bulk)
    app.router.add_route("*", "/_sandbox/callback", callback)
    app.router.add_post("/_sandbox/verify", verify)
    app.router.add_post("/_sandbox/reset", reset)
    app.router.add_route("*", "/_sandbox/numbers", numbers)
    app.router.add_post("/_sandbox/webhooks", webhooks)
    app.router.add_post("/_sandbox/news", news)
    app.router.add_get("/_sandbox/ledger", ledger)
    app.router.add_get("/_sandbox/ledger/summary", summary)
    app.router.add_get("/_sandbox/waiting", waiting)
    app.router.add_post("/_sandbox/flush", flush)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Control and phone answer only to this machine's own names, and turn a ValueError into a 400 with its sentence.

    A page from elsewhere in the same browser can neither name us by a foreign host nor send JSON without a preflight.
    """
    if not request.path.startswith(("/_sandbox", "/phone")):
        return await handler(request)
    if request.host.rsplit(":", 1)[0] not in LOCAL:
        return web.json_response({"error": "The sandbox answers on 127.0.0.1 and localhost only."}, status=403)
    origin = request.headers.get("Origin")
    if origin and origin != f"{request.scheme}://{request.host}":
        return web.json_response({"error": "This call came from another site's page."}, status=403)
    try:
        return await handler(request)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)


async def json_of(request: web.Request) -> dict[str, Any]:
    """The JSON object of a body; nothing at all is {}."""
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        raise ValueError("Send JSON with Content-Type: application/json.")
    try:
        body = await request.json()
    except ValueError:
        raise ValueError("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise ValueError("The body must be a JSON object.")
    return body


def _only(request: web.Request, *methods: str) -> None:
    if request.method not in methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)


async def healthz(request: web.Request) -> web.Response:
    """Whether the process answers, and how many updates wait for the product."""
    return web.json_response({"ok": True, "waiting": request.app[EMULATOR].deliveries.waiting()})


async def faults(request: web.Request) -> web.Response:
    """GET the faults, PUT changes to them, DELETE them all."""
    _only(request, "GET", "PUT", "DELETE")
    emulator = request.app[EMULATOR]
    if request.method == "PUT":
        emulator.faults.change(await json_of(request))
    elif request.method == "DELETE":
        emulator.faults.clear()
    return web.json_response(emulator.faults.setting)


async def behaviour(request: web.Request) -> web.Response:
    """GET or PUT delays, reading, the window, batches."""
    _only(request, "GET", "PUT")
    emulator = request.app[EMULATOR]
    if request.method == "PUT":
        _behave(emulator, await json_of(request))
    return web.json_response(emulator.behaviour.as_dict())


async def bulk(request: web.Request) -> web.Response:
    """The preset for load."""
    _behave(request.app[EMULATOR], BULK)
    return web.json_response(request.app[EMULATOR].behaviour.as_dict())


def _behave(emulator: Emulator, changes: dict[str, Any]) -> None:
    emulator.behaviour.change(changes)
    emulator.dirty = True
    if not emulator.behaviour.offline:
        awake = [
            wa_id
            for wa_id in emulator.asleep
            if (contact := emulator.handsets.contacts.get(wa_id)) is None or contact.online is not False
        ]
        for wa_id in awake:
            emulator.wake(wa_id)
    emulator.deliveries.nudge()


async def callback(request: web.Request) -> web.Response:
    """GET or PUT where the product listens; secrets are taken, never shown."""
    _only(request, "GET", "PUT")
    target = request.app[EMULATOR].target
    if request.method == "PUT":
        body = await json_of(request)
        for name in ("url", "app_secret", "verify_token"):
            if name in body:
                if not isinstance(body[name], str):
                    raise ValueError(f"{name} must be a text.")
                setattr(target, name, body[name])
        request.app[EMULATOR].deliveries.nudge()
    return web.json_response({"url": target.url})


async def verify(request: web.Request) -> web.Response:
    """Make Meta's handshake with the callback address now."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    target = Target(
        str(body.get("url", emulator.target.url)), "", str(body.get("verify_token", emulator.target.verify_token))
    )
    status = await emulator.deliveries.handshake(target, str(secrets.randbelow(10**10)))
    return web.json_response({"ok": status == 200, "status": status})


async def reset(request: web.Request) -> web.Response:
    """Forget everything but the parts in `keep`."""
    keep = (await json_of(request)).get("keep", [])
    if not isinstance(keep, list) or not set(keep) <= PARTS:
        raise ValueError(f"keep must be a list of {sorted(PARTS)}.")
    request.app[EMULATOR].reset(set(keep))
    return web.json_response({"ok": True})


async def numbers(request: web.Request) -> web.Response:
    """GET the business numbers, POST one more (or the same again with changes)."""
    _only(request, "GET", "POST")
    emulator = request.app[EMULATOR]
    if request.method == "POST":
        body = await json_of(request)
        names = {field.name for field in dataclasses.fields(Number)}
        if not {"phone_number_id", "waba_id", "display_phone_number"} <= set(body) <= names:
            raise ValueError(
                f"A number needs phone_number_id, waba_id and display_phone_number, and may have {sorted(names)}."
            )
        if not all(isinstance(value, str) for value in body.values()):
            raise ValueError("All values of a number are texts.")
        emulator.add_number(Number(**body))
    shown = [number.dump() | {"access_token": bool(number.access_token)} for number in emulator.numbers.values()]
    return web.json_response({"numbers": shown}, status=201 if request.method == "POST" else 200)


async def webhooks(request: web.Request) -> web.Response:
    """Send anything: {"field", "value"} like other updates, or {"raw"} once, signed or not."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    if isinstance(body.get("raw"), str):
        emulator.deliveries.post_raw(
            body["raw"].encode("utf-8", "surrogatepass"), signed=body.get("sign", True) is True
        )
    elif isinstance(body.get("field"), str) and "value" in body:
        emulator.post(str(body.get("waba_id", emulator.first_number().waba_id)), body["field"], body["value"])
    else:
        raise ValueError('Send {"field": …, "value": …} or {"raw": "…"}.')
    return web.json_response({"ok": True}, status=202)


async def news(request: web.Request) -> web.Response:
    """News about templates, numbers or the account, shaped as Meta's."""
    return web.json_response({"field": tell(request.app[EMULATOR], await json_of(request))}, status=202)


async def ledger(request: web.Request) -> web.Response:
    """A page of the ledger."""
    try:
        since, limit = int(request.query.get("since", 0)), int(request.query.get("limit", 1000))
    except ValueError:
        raise ValueError("since and limit must be whole numbers.") from None
    kind = request.query.get("kind")
    return web.json_response(request.app[EMULATOR].ledger.page(max(0, since), min(max(1, limit), 20_000), kind))


async def summary(request: web.Request) -> web.Response:
    """Totals of the ledger."""
    emulator = request.app[EMULATOR]
    return web.json_response(emulator.ledger.summary() | {"waiting": emulator.deliveries.waiting()})


async def waiting(request: web.Request) -> web.Response:
    """What is still to come."""
    emulator = request.app[EMULATOR]
    return web.json_response({"waiting": emulator.deliveries.waiting(), "scheduled": len(emulator.hourglass.heap)})


async def flush(request: web.Request) -> web.Response:
    """Wait until nothing is scheduled or waiting, or the time is over."""
    emulator = request.app[EMULATOR]
    seconds = (await json_of(request)).get("timeout_s", 5)
    if not isinstance(seconds, int | float):
        raise ValueError("timeout_s must be a number.")
    end = time.monotonic() + min(seconds, 60)
    while (left := emulator.deliveries.waiting() + len(emulator.hourglass.heap)) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    return web.json_response({"ok": left == 0, "waiting": left})
