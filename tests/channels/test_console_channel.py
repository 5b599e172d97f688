"""The console channel takes everything, and the list of channels knows what was registered."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from flask import Flask

from tests.channels.graph_stand_in import outgoing, sender
from whatalker import channels
from whatalker.channels import Incoming, Tick, Unsupported
from whatalker.channels.console import Console
from whatalker.errors import NotFound, ProviderError
from whatalker.http import Http


def test_the_shipped_channels_are_registered_and_nothing_else() -> None:
    channels.init_app(Flask(__name__))
    assert channels.get("whatsapp").name == "whatsapp"
    assert channels.get("console").name == "console"
    with pytest.raises(NotFound):
        channels.get("pigeon")


def test_a_channel_registered_again_replaces_the_first() -> None:
    channels.init_app(Flask(__name__))
    mine = Console()
    channels.register(mine)
    assert channels.get("console") is mine


def test_the_console_keeps_what_was_sent() -> None:
    async def go() -> None:
        console, me, http = Console(), sender("console:"), Http()
        receipt = await console.send(me, outgoing(), http)
        assert receipt.provider_id == "console.00000000-0000-0000-0000-000000000003:1"
        assert [message.content["text"] for message in console.sent] == ["Hello"]
        media_id = await console.upload(me, io.BytesIO(b"abc"), http, mime_type="text/plain", filename="a.txt")
        assert (await console.download(me, media_id, http, max_bytes=10)).content == b"abc"
        with pytest.raises(ProviderError):
            await console.download(me, media_id, http, max_bytes=2)
        made = await console.create_template(me, {"name": "a", "language": "en"}, http)
        assert await console.list_templates(me, http) == [made]
        await console.delete_template(me, "a", http)
        assert await console.list_templates(me, http) == []
        assert (await console.number_health(me, http)).status == "CONNECTED"

    asyncio.run(go())


def test_the_console_reads_messages_ticks_and_anything() -> None:
    parse = Console().parse
    assert isinstance(parse({"account": "1", "from": "2", "id": "3", "text": "hi"})[0], Incoming)
    assert isinstance(parse({"account": "1", "id": "console.x:1", "status": "read"})[0], Tick)
    strange: list[Any] = [None, [], "x", {"a": 1}, {"account": "1", "id": "3", "status": "lost"}]
    for anything in strange:
        assert isinstance(parse(anything)[0], Unsupported)


def test_the_console_trusts_its_secret_only() -> None:
    verify = Console().verify
    assert verify(b"", {"X-Console-Secret": "s"}, ["s"])
    assert not verify(b"", {"X-Console-Secret": ""}, [""])
    assert not verify(b"", {}, ["s"])
