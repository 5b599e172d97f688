"""A small HTTP server that a test tells what to answer; real sockets on loopback, and every request it got is kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web

from whatalker.channels import Outgoing, Sender
from whatalker.http import Http

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class StandIn:
    address: str
    port: int
    answer: Answerer
    got: list[dict[str, Any]] = field(default_factory=list)

    @property
    def http(self) -> Http:
        return Http(allowed_inner={f"127.0.0.1:{self.port}"}, timeout=5)

    @property
    def sender(self) -> Sender:
        return sender(f"{self.address}/v23.0")


def sender(api_base: str) -> Sender:
    return Sender(
        organization_id=UUID(int=1),
        id=UUID(int=2),
        external_id="106540352242922",
        business_id="102290129340398",
        credentials={"access_token": "secret-token"},
        api_base=api_base,
    )


def outgoing(kind: str = "text", content: dict[str, Any] | None = None, **more: Any) -> Outgoing:
    values: dict[str, Any] = {"message_id": UUID(int=3), "attempt": 1, "to": "16505551234", "kind": kind}
    return Outgoing(**values | {"content": content or {"text": "Hello"}} | more)


def says(status: int = 200, body: Any = None, **headers: str) -> Answerer:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=named)
        return web.json_response(body, status=status, headers=named)

    return answer


def refuses(code: int, status: int = 400, **more: Any) -> Answerer:
    error = {"message": f"(#{code}) Refused", "type": "OAuthException", "code": code, "fbtrace_id": "AbCd", **more}
    return says(status, {"error": error})


@asynccontextmanager
async def stand_in(answer: Answerer) -> AsyncIterator[StandIn]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        stand.got.append(
            {"method": request.method, "path": request.path_qs, "headers": dict(request.headers), "body": body}
        )
        return await stand.answer(request)

    app = web.Application(client_max_size=50_000_000)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stand = StandIn(f"http://127.0.0.1:{port}", port, answer)
    await web.SockSite(runner, listener).start()
    try:
        yield stand
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server for answers that no HTTP library would write."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
