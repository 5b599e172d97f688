"""One round trip against the real sandbox process: out, its webhooks back, files, templates, health and faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from tests.channels.graph_stand_in import outgoing, sender
from whatalker.channels import Incoming, News, Preference, TemplateChange, Tick
from whatalker.channels.whatsapp import WhatsApp
from whatalker.errors import ProviderError
from whatalker.http import Http

CHANNEL = WhatsApp()
SECRET = "sandbox-app-secret"


class Side:
    """Both ends: our channel on one, the sandbox's controls on the other."""

    def __init__(self, address: str, http: Http, news: list[News]) -> None:
        self.address, self.http, self.news = address, http, news
        self.sender = replace(sender(f"{address}/v23.0"), credentials={"access_token": "sandbox-access-token"})

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.http.request(method, f"{self.address}{path}", json=body)
        assert answer.status < 300, answer.body
        return answer.json()

    async def until(self, wanted: Callable[[News], bool]) -> Any:
        for _ in range(200):
            for item in self.news:
                if wanted(item):
                    return item
            await asyncio.sleep(0.05)
        raise AssertionError(f"never came; came: {self.news}")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    command = [sys.executable, "-m", "whatalker.sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if "listening on " not in line:
        process.kill()
        pytest.skip(f"the sandbox does not start: {process.stderr.read()[-300:]}")
    yield line.split("listening on ")[1].strip()
    process.terminate()
    process.wait(timeout=10)


@asynccontextmanager
async def side(address: str) -> AsyncIterator[Side]:
    news: list[News] = []

    async def webhook(request: web.Request) -> web.Response:
        raw = await request.read()
        assert CHANNEL.verify(raw, request.headers, [SECRET])
        news.extend(CHANNEL.parse(json.loads(raw)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/callbacks/whatsapp", webhook)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with Http(allowed_inner={address.removeprefix("http://")}, timeout=10) as http:
        both = Side(address, http, news)
        await both.control("POST", "/_sandbox/reset", {})
        await both.control("PUT", "/_sandbox/callback", {"url": f"http://127.0.0.1:{port}/callbacks/whatsapp"})
        try:
            yield both
        finally:
            await runner.cleanup()


def with_sandbox(address: str, work: Callable[[Side], Awaitable[None]]) -> None:
    async def go() -> None:
        async with side(address) as both:
            await work(both)

    asyncio.run(go())


async def write_in(both: Side, **more: Any) -> Incoming:
    given = await both.control("POST", "/_sandbox/phone/messages", {"from": "16505551234", "text": "hi", **more})
    found: Incoming = await both.until(lambda item: isinstance(item, Incoming) and item.provider_id == given["id"])
    return found


def is_tick(provider_id: str, status: str) -> Callable[[News], bool]:
    return lambda item: isinstance(item, Tick) and item.provider_id == provider_id and item.status == status


def test_a_conversation_works_both_ways(sandbox: str) -> None:
    async def work(both: Side) -> None:
        incoming = await write_in(both, name="Sheena Nelson")
        assert (incoming.text, incoming.wa_id, incoming.profile_name) == ("hi", "16505551234", "Sheena Nelson")
        await CHANNEL.mark_read(both.sender, incoming.provider_id, both.http)
        await CHANNEL.typing(both.sender, incoming.provider_id, both.http)
        message = replace(outgoing(), message_id=uuid4(), to=incoming.wa_id, reply_to=incoming.provider_id)
        receipt = await CHANNEL.send(both.sender, message, both.http)
        for status in ("sent", "delivered", "read"):
            tick = await both.until(is_tick(receipt.provider_id, status))
            assert tick.key == message.key

    with_sandbox(sandbox, work)


def test_every_kind_is_accepted(sandbox: str) -> None:
    async def work(both: Side) -> None:
        await write_in(both)
        jpeg = b"\xff\xd8\xff\xe0" + b"\0" * 200 + b"\xff\xd9"
        media_id = await CHANNEL.upload(both.sender, jpeg, both.http, mime_type="image/jpeg", filename="a.jpg")
        got = await CHANNEL.download(both.sender, media_id, both.http, max_bytes=1000)
        assert got.content == jpeg and got.mime_type == "image/jpeg"
        button = {"type": "button", "body": "Choose", "buttons": [{"id": "a", "title": "A"}]}
        rows = [{"title": "S", "rows": [{"id": "r", "title": "R"}]}]
        link = {"type": "cta_url", "body": "Read", "display_text": "Open", "url": "https://example.com"}
        quoted = (await write_in(both, text="quote me")).provider_id
        for kind, content in (
            ("text", {"text": "Hello"}),
            ("image", {"media_id": media_id, "caption": "Look"}),
            ("location", {"latitude": 4.6, "longitude": -74.0, "name": "Office"}),
            ("contacts", {"contacts": [{"name": {"formatted_name": "Ana", "first_name": "Ana"}}]}),
            ("interactive", button),
            ("interactive", {"type": "list", "body": "Choose", "button": "Open", "sections": rows}),
            ("interactive", link),
            ("reaction", {"message_id": quoted, "emoji": "👍"}),
            ("template", {"name": "hello_world", "language": "en_US"}),
        ):
            receipt = await CHANNEL.send(both.sender, outgoing(kind, content), both.http)
            assert receipt.provider_id.startswith("wamid."), kind

    with_sandbox(sandbox, work)


def test_templates_and_health_are_read(sandbox: str) -> None:
    async def work(both: Side) -> None:
        found = {template.name: template for template in await CHANNEL.list_templates(both.sender, both.http)}
        assert found["hello_world"].status == "APPROVED" and found["flash_deal"].status == "PAUSED"
        body = {"type": "BODY", "text": "Hello {{1}}, welcome.", "example": {"body_text": [["Ana"]]}}
        definition = {"name": "greeting", "language": "en_US", "category": "UTILITY", "components": [body]}
        made = await CHANNEL.create_template(both.sender, definition, both.http)
        assert made.provider_id
        change = await both.until(lambda item: isinstance(item, TemplateChange) and item.name == "greeting")
        assert (change.change, change.value) == ("status", "APPROVED")
        await CHANNEL.delete_template(both.sender, "greeting", both.http)
        health = await CHANNEL.number_health(both.sender, both.http)
        assert health.external_id == "106540352242922" and health.quality == "GREEN" and health.limit

    with_sandbox(sandbox, work)


@pytest.mark.parametrize(("share", "outcome"), [
    ("rate_429", "refused"), ("error_before", "unknown"), ("error_after", "unknown"), ("reset_before", "unknown"),
    ("reset_after", "unknown"), ("malformed", "unknown"),
])  # fmt: skip
def test_a_fault_has_its_outcome(sandbox: str, share: str, outcome: str) -> None:
    async def work(both: Side) -> None:
        await write_in(both)
        await both.control("PUT", "/_sandbox/faults", {"next": [{"do": share, "times": 1}]})
        with pytest.raises(ProviderError) as caught:
            await CHANNEL.send(both.sender, outgoing(), both.http)
        assert caught.value.outcome == outcome

    with_sandbox(sandbox, work)


def test_a_person_stops_marketing(sandbox: str) -> None:
    async def work(both: Side) -> None:
        await write_in(both)
        await both.control("POST", "/_sandbox/phone/preferences", {"from": "16505551234", "value": "stop"})
        stop = await both.until(lambda item: isinstance(item, Preference))
        assert (stop.choice, stop.wa_id) == ("stop", "16505551234")

    with_sandbox(sandbox, work)


def test_a_wrong_token_is_the_code_of_an_expired_connection(sandbox: str) -> None:
    async def work(both: Side) -> None:
        wrong = replace(both.sender, credentials={"access_token": "wrong"})
        with pytest.raises(ProviderError) as caught:
            await CHANNEL.send(wrong, outgoing(), both.http)
        assert (caught.value.outcome, caught.value.provider_code) == ("refused", "190")

    with_sandbox(sandbox, work)
