"""Media over the Graph API: upload, download by a short-lived address, always with the token."""

import time
from typing import Any

from aiohttp import BodyPartReader, web

from .bearer import EMULATOR, check_token
from .emulator import Emulator
from .mediashelf import LARGEST
from .refusals import GraphError, required, wrong


async def read_file(request: web.Request) -> tuple[bytes, str, str, dict[str, str]]:
    """(bytes, mime type, filename, other fields) of a multipart body with one part named file."""
    if not request.content_type.startswith("multipart/"):
        raise wrong("The request body must be multipart/form-data.")
    fields: dict[str, str] = {}
    found: tuple[bytes, str, str] | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "file":
                data = bytearray()
                while chunk := await part.read_chunk(262_144):
                    data += chunk
                    if len(data) > LARGEST:
                        raise GraphError(131053, details="Media file size too big.", status=400)
                found = bytes(data), part.headers.get("Content-Type", ""), part.filename or ""
            elif part.name:
                fields[part.name] = (await part.read(decode=True))[:1000].decode("utf-8", "replace")
    except (ValueError, web.HTTPException):
        raise wrong("The multipart body could not be read.") from None
    if found is None:
        raise required("file")
    data_, mime_type, filename = found
    return data_, fields.get("type") or mime_type or "application/octet-stream", filename, fields


async def upload(emulator: Emulator, request: web.Request, node: str) -> dict[str, Any]:
    """POST /{phone_number_id}/media"""
    number = emulator.number(node)
    data, mime_type, filename, fields = await read_file(request)
    if fields.get("messaging_product") != "whatsapp":
        raise required("messaging_product")
    emulator.dirty = True
    return {"id": emulator.media.put(data, mime_type, filename, number.phone_number_id)}


async def download(request: web.Request) -> web.StreamResponse:
    """The address that GET /{media_id} gave; 401 without the token, 404 after five minutes or with a wrong mark."""
    emulator = request.app[EMULATOR]
    media_id, until, mark = (request.query.get(name, "") for name in ("mid", "ext", "hash"))
    status = 404
    response = web.Response(status=404, text="Not found")
    try:
        check_token(emulator, request)
        data = emulator.media.data(media_id)
        if (
            data is not None
            and until.isdigit()
            and int(until) > time.time()
            and mark == emulator.media.mark(media_id, int(until))
        ):
            status = 200
            response = web.Response(body=data, headers={"Content-Type": emulator.media.rows[media_id]["mime_type"]})
    except GraphError as error:
        status = error.status
        response = web.json_response(error.body(), status=error.status)
    emulator.ledger.add("call", method="GET", path=request.path, node=media_id, edge="download", status=status)
    return response
