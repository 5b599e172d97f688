"""The phone simulator: the page, its live events, and all a contact can do; the page is a client like others."""

import asyncio
import json
import time
from importlib import resources
from typing import Any

from aiohttp import web

from .bearer import EMULATOR
from .emulator import Emulator
from .graph_files import read_file
from .handsets import Thread
from .refusals import GraphError
from .switchboard import json_of
from .utterances import hear, number_of, speaker

FILES = {
    "/phone": ("phone.html", "text/html"),
    "/phone/phone.css": ("phone.css", "text/css"),
    "/phone/bubbles.css": ("bubbles.css", "text/css"),
    "/phone/phone.js": ("phone.js", "text/javascript"),
    "/phone/bubbles.js": ("bubbles.js", "text/javascript"),
    "/phone/actions.js": ("actions.js", "text/javascript"),
    "/phone/icon.svg": ("icon.svg", "image/svg+xml"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SHOWN_INLINE = ("image/jpeg", "image/png", "image/webp", "image/gif", "audio/", "video/")
STREAMS: web.AppKey[set[asyncio.Queue[str]]] = web.AppKey("streams", set)


def add_routes(app: web.Application) -> None:
    """The page and the contact's side of the control routes."""
    app[STREAMS] = set()
    for path in FILES:
        app.router.add_get(path, static)
    app.router.add_get("/_sandbox/phone", overview)
    app.router.add_get("/_sandbox/phone/threads/{number}/{wa_id}", thread)
    app.router.add_get("/_sandbox/phone/events", events)
    app.router.add_get("/_sandbox/phone/files/{media_id}", shown_file)
    app.router.add_post("/_sandbox/phone/messages", messages)
    app.router.add_post("/_sandbox/phone/media", media)
    app.router.add_post("/_sandbox/phone/contacts", contacts)
    app.router.add_post("/_sandbox/phone/preferences", preferences)
    app.router.add_post("/_sandbox/phone/read", read)


async def static(request: web.Request) -> web.Response:
    """One of our own files; the list is closed."""
    name, kind = FILES[request.path]
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=SAFE)


async def overview(request: web.Request) -> web.Response:
    """The business numbers, the contacts, and a line for every thread, newest first."""
    emulator = request.app[EMULATOR]
    threads = [_line(thread) for thread in reversed(emulator.handsets.threads.values())]
    names = ("wa_id", "name", "online", "reads", "stopped", "played", "user_id", "username")
    people = [{name: getattr(one, name) for name in names} for one in emulator.handsets.contacts.values()]
    numbers = [
        {"phone_number_id": one.phone_number_id, "name": one.verified_name, "display": one.display_phone_number}
        for one in emulator.numbers.values()
    ]
    setting = emulator.faults.setting
    usual = {"online": not emulator.behaviour.offline, "reads": emulator.behaviour.reads >= 1}
    return web.json_response(
        {
            "numbers": numbers,
            "contacts": people[-500:],
            "threads": threads,
            "usual": usual,
            "callback": bool(emulator.target.url),
            "faults": any(v for k, v in setting.items() if isinstance(v, float) and k.endswith(("before", "after"))),
        }
    )


def _line(thread: Thread) -> dict[str, Any]:
    last = thread.bubbles[-1] if thread.bubbles else None
    return {
        "number": thread.number_id,
        "wa_id": thread.wa_id,
        "unread": thread.unread,
        "typing": thread.typing_until > time.time(),
        "last": last,
    }


async def thread(request: web.Request) -> web.Response:
    """Everything on one contact's screen."""
    emulator = request.app[EMULATOR]
    key = (request.match_info["number"], request.match_info["wa_id"])
    found = emulator.handsets.threads.get(key)
    shown = list(found.bubbles) if found else []
    typing = max(0.0, found.typing_until - time.time()) if found else 0.0
    open_until = emulator.handsets.windows.get(key, 0)
    return web.json_response(
        {
            "messages": shown,
            "typing_s": round(typing, 1),
            "unread": found.unread if found else 0,
            "window_until": open_until,
        }
    )


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: which threads changed; the page asks for what it shows."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **SAFE, "X-Accel-Buffering": "no"})
    await response.prepare(request)
    line: asyncio.Queue[str] = asyncio.Queue(maxsize=200)
    streams, emulator = request.app[STREAMS], request.app[EMULATOR]
    streams.add(line)
    emulator.watched = True
    try:
        await response.write(b"retry: 1000\nevent: hello\ndata: {}\n\n")
        while True:
            try:
                text = await asyncio.wait_for(line.get(), 15)
            except TimeoutError:
                text = ": still here\n\n"
            await response.write(text.encode())
            if text.startswith("event: bye"):
                return response
    except ConnectionResetError:
        return response
    finally:
        streams.discard(line)
        emulator.watched = bool(streams)


async def tell_pages(app: web.Application) -> None:
    """Eight times a second, tell open pages what changed; a page that does not listen is told to start over."""
    emulator = app[EMULATOR]
    while True:
        await asyncio.sleep(0.125)
        if not emulator.changed:
            continue
        changed = sorted(emulator.changed)
        emulator.changed.clear()
        text = f"data: {json.dumps({'changed': changed[:50], 'more': len(changed) > 50})}\n\n"
        for line in app[STREAMS]:
            if line.full():
                while not line.empty():
                    line.get_nowait()
                text = 'data: {"changed": [], "more": true}\n\n'
            line.put_nowait(text)


def close_streams(app: web.Application) -> None:
    """End every open stream, so that stopping does not wait for them."""
    for line in app[STREAMS]:
        if not line.full():
            line.put_nowait("event: bye\ndata: {}\n\n")


async def shown_file(request: web.Request) -> web.Response:
    """A file for the page; what a browser could run is offered for download only."""
    emulator = request.app[EMULATOR]
    media_id = request.match_info["media_id"]
    data = emulator.media.data(media_id)
    if data is None:
        return web.json_response({"error": "This file is gone."}, status=404)
    row = emulator.media.rows[media_id]
    inline = row["mime_type"].startswith(SHOWN_INLINE)
    headers = dict(SAFE) | {
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
    headers["Content-Type"] = row["mime_type"] if inline else "application/octet-stream"
    headers["Content-Disposition"] = "inline" if inline else "attachment"
    return web.Response(body=data, headers=headers)


async def messages(request: web.Request) -> web.Response:
    """A contact says something, or many things in one call."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    many = body.get("messages")
    if many is None:
        return web.json_response(hear(emulator, body), status=201)
    if not isinstance(many, list) or not all(isinstance(one, dict) for one in many):
        raise ValueError("messages must be a list of messages.")
    return web.json_response({"messages": [hear(emulator, one) for one in many]}, status=201)


async def media(request: web.Request) -> web.Response:
    """A file of a contact; its type is not checked, people send anything."""
    emulator = request.app[EMULATOR]
    try:
        data, mime_type, filename, fields = await read_file(request)
    except GraphError as error:
        raise ValueError(error.message) from None
    number = number_of(emulator, fields)
    media_id = emulator.media.put(data, mime_type, filename, number.phone_number_id, strict=False)
    emulator.dirty = True
    return web.json_response({"id": media_id, "mime_type": mime_type}, status=201)


async def contacts(request: web.Request) -> web.Response:
    """Make a contact or change how its phone behaves."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    contact = speaker(emulator, body, "wa_id")
    for name in ("online", "reads"):
        if name in body:
            if not (body[name] is None or isinstance(body[name], bool)):
                raise ValueError(f"{name} must be true, false or null.")
            setattr(contact, name, body[name])
    contact.played = True
    _open_thread(emulator, body, contact.wa_id)
    if contact.online is not False:
        emulator.wake(contact.wa_id)
    if body.get("reads") is True:
        for key, found in list(emulator.handsets.threads.items()):
            if key[1] == contact.wa_id:
                emulator.contact_reads(found, None)
    return web.json_response({"wa_id": contact.wa_id, "name": contact.name}, status=201)


def _open_thread(emulator: Emulator, body: dict[str, Any], wa_id: str) -> None:
    number = number_of(emulator, body)
    if (number.phone_number_id, wa_id) not in emulator.handsets.threads:
        emulator.handsets.thread(number.phone_number_id, wa_id)
    emulator.touch()


async def preferences(request: web.Request) -> web.Response:
    """A contact stops or resumes marketing messages."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    if body.get("value") not in ("stop", "resume"):
        raise ValueError('"value" must be stop or resume.')
    emulator.prefer(number_of(emulator, body), speaker(emulator, body), body["value"])
    return web.json_response({"ok": True}, status=201)


async def read(request: web.Request) -> web.Response:
    """The contact reads what the business sent."""
    emulator = request.app[EMULATOR]
    body = await json_of(request)
    contact = speaker(emulator, body, "wa_id")
    found = emulator.handsets.threads.get((number_of(emulator, body).phone_number_id, contact.wa_id))
    count = emulator.contact_reads(found, body.get("message_id")) if found else 0
    return web.json_response({"read": count})
