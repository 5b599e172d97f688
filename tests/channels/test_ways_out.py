"""The one way out: no inner address under any spelling, no redirect, no proxy, and what each fault means."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.channels.graph_stand_in import raw_server, says, stand_in
from whatalker.errors import Invalid, ProviderError
from whatalker.http import Http, form, is_public

INNER = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.7", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "not an address", "",
]  # fmt: skip
SPELLINGS = [
    "http://127.0.0.1:{0}/", "http://127.1:{0}/", "http://0x7f.1:{0}/", "http://0x7f000001:{0}/", "http://2130706433:{0}/",
    "http://017700000001:{0}/", "http://0177.0.0.1:{0}/", "http://\uff11\uff12\uff17.0.0.1:{0}/", "http://127\u30020\u30020\u30021:{0}/",
    "http://[::1]:{0}/", "http://[::ffff:127.0.0.1]:{0}/", "http://[::ffff:7f00:1]:{0}/", "http://localhost:{0}/",
    "http://LOCALHOST.:{0}/", "http://0:{0}/", "http://0.0.0.0:{0}/", "http://[::]:{0}/",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_never_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "157.240.22.35", "2001:4860:4860::8888", "2a03:2880:f10c::1"])
def test_a_real_address_is_public(address: str) -> None:
    assert is_public(address)


async def refusal(url: str, allowed: set[str] | None = None, **more: Any) -> ProviderError | Invalid:
    async with Http(allowed_inner=allowed or set(), timeout=3) as http:
        with pytest.raises((ProviderError, Invalid)) as caught:
            await http.request("GET", url, **more)
    error = caught.value
    assert isinstance(error, ProviderError | Invalid)
    return error


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_loopback_is_dialled(spelling: str) -> None:
    async def go() -> None:
        async with stand_in(says(200, {"inside": True})) as inner:
            error = await refusal(spelling.format(inner.port))
            assert isinstance(error, Invalid) or error.outcome == "refused"
            assert inner.got == []

    asyncio.run(go())


def test_the_refusal_of_an_inner_address_is_permanent_and_says_why() -> None:
    error = asyncio.run(refusal("http://127.0.0.1:9/"))
    assert isinstance(error, ProviderError)
    assert (error.provider_code, error.permanent) == ("inner_address", True)


class Rebinding(AbstractResolver):
    """Answers a public address to whoever looks first and loopback to whoever dials."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self.port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


def test_a_name_that_resolves_inside_is_refused_at_dial_time() -> None:
    async def go() -> None:
        async with stand_in(says(200, {})) as inner, Http(allowed_inner={f"127.0.0.1:{inner.port}"}) as http:
            assert http._public is not None and http._public.connector is not None
            http._public.connector._resolver = Rebinding(inner.port)  # type: ignore[attr-defined]
            with pytest.raises(ProviderError) as caught:
                await http.request("GET", f"http://rebinding.example:{inner.port}/")
            assert caught.value.provider_code == "inner_address"
            assert inner.got == []

    asyncio.run(go())


@pytest.mark.parametrize("spelling", SPELLINGS[1:])
def test_what_the_operator_allowed_is_allowed_in_that_spelling_only(spelling: str) -> None:
    async def go() -> None:
        async with stand_in(says(200, {"inside": True})) as inner:
            allowed = {f"127.0.0.1:{inner.port}"}
            url = spelling.format(inner.port)
            async with Http(allowed_inner=allowed) as http:
                assert (await http.request("GET", f"http://127.0.0.1:{inner.port}/")).status == 200
                inner.got.clear()
                try:
                    await http.request("GET", url)
                except (ProviderError, Invalid):
                    assert inner.got == []
                else:  # full-width digits are the very same address once the address is written as the standard says
                    assert "\uff11" in url or "\u3002" in url

    asyncio.run(go())


def test_another_port_of_an_allowed_host_stays_closed() -> None:
    async def go() -> None:
        async with stand_in(says(200, {})) as inner:
            error = await refusal(f"http://127.0.0.1:{inner.port}/", {f"127.0.0.1:{inner.port + 1}"})
            assert isinstance(error, ProviderError) and error.provider_code == "inner_address"

    asyncio.run(go())


@pytest.mark.parametrize("url", [
    "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "//example.com", "http://", "http://[::1", "",
    "https://user:word@example.com/", "http://exa mple.com:99999/", "javascript:alert(1)", "http://example.com:70000/",
])  # fmt: skip
def test_what_is_no_plain_web_address_is_invalid(url: str) -> None:
    assert isinstance(asyncio.run(refusal(url)), Invalid)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def go() -> None:
        async with stand_in(says(302, "", Location="http://127.0.0.1:1/")) as server, server.http as http:
            assert (await http.request("GET", server.address)).status == 302
            assert len(server.got) == 1

    asyncio.run(go())


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    yield


@pytest.mark.usefixtures("proxied")
def test_the_proxy_environment_is_ignored() -> None:
    async def go() -> None:
        async with stand_in(says(200, {"ok": True})) as server, server.http as http:
            assert (await http.request("GET", server.address)).json() == {"ok": True}

    asyncio.run(go())


def test_a_refused_connection_may_be_tried_again() -> None:
    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        error = await refusal(f"http://127.0.0.1:{port}/", {f"127.0.0.1:{port}"})
        assert isinstance(error, ProviderError)
        assert (error.outcome, error.provider_code, error.permanent) == ("refused", "no_connection", False)

    asyncio.run(go())


def test_a_broken_certificate_sends_nothing() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async def go() -> None:
        async with raw_server(talk) as port:
            error = await refusal(f"https://127.0.0.1:{port}/", {f"127.0.0.1:{port}"})
            assert isinstance(error, ProviderError)
            assert (error.outcome, error.provider_code) == ("refused", "tls_failed")

    asyncio.run(go())


async def _talk_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _talk(answer: bytes, wait: float = 0.0) -> Any:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(wait)
        writer.write(answer)
        writer.close()

    return talk


@pytest.mark.parametrize(("talk", "code"), [
    (_talk_reset, "connection_lost"),
    (_talk(b""), "connection_lost"),
    (_talk(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\""), "malformed_answer"),
    (_talk(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\""), "malformed_answer"),
    (_talk(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "malformed_answer"),
    (_talk(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"), "malformed_answer"),
    (_talk(b"", wait=5), "timeout"),
    (_talk(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"), "answer_too_large"),
    (_talk(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3_000_000), "answer_too_large"),
])  # fmt: skip
def test_a_fault_after_the_request_was_written_is_unknown(talk: Any, code: str) -> None:
    async def go() -> None:
        async with raw_server(talk) as port, Http(allowed_inner={f"127.0.0.1:{port}"}, timeout=0.7) as http:
            with pytest.raises(ProviderError) as caught:
                await http.request("POST", f"http://127.0.0.1:{port}/", json={"a": 1})
            assert (caught.value.outcome, caught.value.provider_code) == ("unknown", code)

    asyncio.run(go())


def test_a_drip_of_bytes_does_not_outlive_the_total_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x")
            await asyncio.sleep(0.1)

    async def go() -> None:
        async with raw_server(talk) as port, Http(allowed_inner={f"127.0.0.1:{port}"}) as http:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(ProviderError) as caught:
                await http.request("GET", f"http://127.0.0.1:{port}/", timeout=0.5)
            assert caught.value.provider_code == "timeout"
            assert asyncio.get_running_loop().time() - begun < 2

    asyncio.run(go())


def test_an_answer_that_is_no_json_is_unknown() -> None:
    async def go() -> None:
        async with stand_in(says(200, "{broken")) as server, server.http as http:
            answer = await http.request("GET", server.address)
            with pytest.raises(ProviderError) as caught:
                answer.json()
            assert (caught.value.outcome, caught.value.provider_code) == ("unknown", "malformed_answer")

    asyncio.run(go())


def test_a_header_with_a_line_break_is_refused_before_the_call() -> None:
    async def go() -> None:
        async with stand_in(says(200, {})) as server, server.http as http:
            with pytest.raises(Invalid):
                await http.request("GET", server.address, headers={"Authorization": "Bearer a\r\nX-Evil: 1"})
            assert server.got == []

    asyncio.run(go())


def test_lone_surrogates_do_not_break_a_body() -> None:
    async def go() -> None:
        async with stand_in(says(200, {})) as server, server.http as http:
            await http.request("POST", server.address, json={"a": "\ud800 é"})
            assert server.got[0]["body"] == '{"a":"? é"}'.encode()

    asyncio.run(go())


def test_a_form_carries_fields_and_one_file() -> None:
    async def go() -> None:
        async with stand_in(says(200, {})) as server, server.http as http:
            data = form({"messaging_product": "whatsapp"}, file=b"bytes", filename="a.jpg", mime_type="image/jpeg")
            await http.request("POST", server.address, data=data)
            body = server.got[0]["body"]
            assert b'name="messaging_product"' in body and b'filename="a.jpg"' in body and b"image/jpeg" in body

    asyncio.run(go())
