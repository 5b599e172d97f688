"""Calls over real HTTP: what is accepted, what is refused by which code, and what stays unknown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from tests.channels.graph_stand_in import Answerer, StandIn, outgoing, raw_server, refuses, says, sender, stand_in
from whatalker.channels.provider_codes import explain
from whatalker.channels.whatsapp import WhatsApp
from whatalker.errors import Invalid, ProviderError
from whatalker.http import Http

CHANNEL = WhatsApp()
ACCEPTED = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+1 650", "wa_id": "16505551234", "user_id": "US.1"}],
    "messages": [{"id": "wamid.A", "message_status": "accepted"}],
}


def against(answer: Answerer, work: Callable[[StandIn, Http], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with stand_in(answer) as server, server.http as http:
            return await work(server, http)

    return asyncio.run(go())


def sending(answer: Answerer, **more: Any) -> Any:
    return against(answer, lambda server, http: CHANNEL.send(server.sender, outgoing(**more), http))


def fault(answer: Answerer, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        sending(answer, **more)
    return caught.value


def test_an_accepted_message_has_a_receipt() -> None:
    async def work(server: StandIn, http: Http) -> None:
        receipt = await CHANNEL.send(server.sender, outgoing(), http)
        assert (receipt.provider_id, receipt.recipient_wa_id, receipt.recipient_user_id, receipt.held) == (
            "wamid.A", "16505551234", "US.1", False,
        )  # fmt: skip
        (call,) = server.got
        assert (call["method"], call["path"]) == ("POST", "/v23.0/106540352242922/messages")
        assert call["headers"]["Authorization"] == "Bearer secret-token"
        assert json.loads(call["body"])["text"] == {"body": "Hello"}

    against(says(200, ACCEPTED), work)


def test_a_message_held_for_quality_says_so() -> None:
    held = {**ACCEPTED, "messages": [{"id": "wamid.A", "message_status": "held_for_quality_assessment"}]}
    assert sending(says(200, held)).held


@pytest.mark.parametrize(("code", "status", "permanent"), [
    (131047, 400, True), (131026, 400, True), (131049, 400, True), (131050, 400, True), (132000, 400, True), (132012, 400, True),
    (131062, 400, True), (190, 401, False), (100, 400, True), (131056, 400, False), (130429, 429, False), (131000, 400, False),
    (80007, 429, False), (4, 400, False), (2, 400, False), (368, 403, False), (131031, 403, False), (10, 403, False), (250, 403, False),
])  # fmt: skip
def test_a_code_is_refused_by_its_class(code: int, status: int, permanent: bool) -> None:
    error = fault(refuses(code, status))
    assert (error.outcome, error.provider_code, error.permanent) == ("refused", str(code), permanent)
    assert error.details["reference"] == "AbCd"


def test_an_unlisted_code_is_not_tried_again_unless_the_provider_says_it_passes() -> None:
    error = fault(refuses(987654, error_data={"details": "The moon is full."}))
    assert (error.outcome, error.permanent, error.retry_after) == ("refused", True, None)
    assert error.title == "(#987654) Refused" and error.details["said"] == "The moon is full."
    passing = fault(refuses(987654, is_transient=True))
    assert (passing.permanent, passing.retry_after) == (False, 60)


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert fault(says(429, "slow down", Retry_After="7")).retry_after == 7
    assert fault(refuses(130429, 429)).retry_after == 1
    assert fault(says(429, "", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")).outcome == "refused"
    assert fault(says(429, "", Retry_After="999999999999")).retry_after == 86_400
    assert fault(says(429, "", Retry_After="soon")).retry_after == 60


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 302, 307])
def test_a_server_error_is_unknown_even_with_a_code(status: int) -> None:
    assert fault(says(status, "")).outcome == "unknown"
    assert fault(refuses(131000, status)).outcome == "unknown"


@pytest.mark.parametrize(("status", "permanent", "code"), [
    (400, True, None), (401, False, "190"), (403, True, None), (404, True, None), (413, True, None), (429, False, None),
])  # fmt: skip
def test_an_error_without_a_code_was_still_refused(status: int, permanent: bool, code: str | None) -> None:
    error = fault(says(status, "<html>no</html>"))
    assert (error.outcome, error.permanent, error.provider_code) == ("refused", permanent, code)


@pytest.mark.parametrize("body", [
    "", "{", "[]", "null", "\"ok\"", {}, {"messages": []}, {"messages": [{}]}, {"messages": [{"id": 5}]}, {"messages": [{"id": ""}]},
    {"messages": "wamid"}, {"messages": [None]}, "{\"messages\":" + "[" * 5000,
])  # fmt: skip
def test_an_answer_without_a_message_id_is_unknown(body: Any) -> None:
    error = fault(says(200, body))
    assert (error.outcome, error.provider_code) == ("unknown", "malformed_answer")


@pytest.mark.parametrize(
    "body", [{"error": {}}, {"error": {"code": "131047"}}, {"error": []}, {"error": {"code": True, "message": 5}}, []]
)
def test_a_strange_error_body_does_not_break_the_reading(body: Any) -> None:
    assert fault(says(400, body)).outcome == "refused"


def test_an_error_in_a_good_answer_is_a_refusal() -> None:
    assert fault(says(200, {"error": {"code": 131047, "message": "x"}})).provider_code == "131047"


def test_a_huge_answer_is_unknown() -> None:
    assert fault(says(200, "x" * 3_000_000)).provider_code == "answer_too_large"


def test_a_message_that_cannot_be_written_is_refused_without_a_call() -> None:
    async def work(server: StandIn, http: Http) -> None:
        with pytest.raises(ProviderError) as caught:
            await CHANNEL.send(server.sender, outgoing("text", {"text": " "}), http)
        assert (caught.value.outcome, caught.value.permanent) == ("refused", True)
        assert server.got == []

    against(says(200, ACCEPTED), work)


@pytest.mark.parametrize(("base", "token", "code"), [
    ("ftp://example.com/v23.0", "t", "bad_address"), ("nonsense", "t", "bad_address"), (None, "a\r\nX-Evil: 1", "bad_call"),
    ("http://127.0.0.1:1/v23.0", "t", "inner_address"),
])  # fmt: skip
def test_a_connection_that_cannot_be_called_waits_for_an_admin(base: str | None, token: str, code: str) -> None:
    async def work(server: StandIn, http: Http) -> None:
        me = replace(server.sender, api_base=base or server.sender.api_base, credentials={"access_token": token})
        with pytest.raises(ProviderError) as caught:
            await CHANNEL.send(me, outgoing(), http)
        assert (caught.value.outcome, caught.value.provider_code) == ("refused", code)
        assert explain("meta", code).stops_number and explain("meta", code).message == "hold"
        assert server.got == []

    against(says(200, ACCEPTED), work)


def test_a_hang_is_unknown_and_a_dead_port_is_refused() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.4)
        writer.transport.abort()

    async def go() -> None:
        async with raw_server(hang) as port, Http(allowed_inner={f"127.0.0.1:{port}"}) as http:
            with pytest.raises(ProviderError) as caught:
                await CHANNEL.send(sender(f"http://127.0.0.1:{port}/v23.0"), outgoing(), http)
            assert caught.value.outcome == "unknown"
        async with Http(allowed_inner={f"127.0.0.1:{port}"}) as http:
            with pytest.raises(ProviderError) as caught:
                await CHANNEL.send(sender(f"http://127.0.0.1:{port}/v23.0"), outgoing(), http)
            assert (caught.value.outcome, caught.value.permanent) == ("refused", False)

    asyncio.run(go())


def test_receipts_and_typing_dots_are_posted() -> None:
    async def work(server: StandIn, http: Http) -> None:
        await CHANNEL.mark_read(server.sender, "wamid.X", http)
        await CHANNEL.typing(server.sender, "wamid.X", http)
        read, dots = (json.loads(call["body"]) for call in server.got)
        assert read == {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.X"}
        assert dots == read | {"typing_indicator": {"type": "text"}}

    against(says(200, {"success": True}), work)


def test_a_file_goes_up_as_a_form() -> None:
    async def work(server: StandIn, http: Http) -> None:
        given = await CHANNEL.upload(
            server.sender, io.BytesIO(b"\x89PNG"), http, mime_type="image/png", filename="a.png"
        )
        assert given == "4490709327384033"
        body = server.got[0]["body"]
        assert server.got[0]["path"].endswith("/106540352242922/media")
        assert b'name="messaging_product"\r\n\r\nwhatsapp' in body and b"image/png" in body and b"\x89PNG" in body

    against(says(200, {"id": "4490709327384033"}), work)


CONTENT = b"a picture" * 1000


def media(**changes: Any) -> Answerer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/file":
            return web.Response(body=CONTENT, content_type="image/jpeg")
        facts = {"url": f"http://{request.host}/file", "mime_type": "image/jpeg", "id": "77", "file_size": len(CONTENT)}
        return web.json_response(facts | {"sha256": hashlib.sha256(CONTENT).hexdigest()} | changes)

    return answer


def fetching(answer: Answerer, **more: Any) -> Any:
    async def work(server: StandIn, http: Http) -> Any:
        got = await CHANNEL.download(server.sender, "77", http, **{"max_bytes": 1_000_000} | more)
        assert server.got[0]["path"] == "/v23.0/77?phone_number_id=106540352242922"
        assert server.got[1]["headers"]["Authorization"] == "Bearer secret-token"
        return got

    return against(answer, work)


@pytest.mark.parametrize("digest", [
    hashlib.sha256(CONTENT).hexdigest(), base64.b64encode(hashlib.sha256(CONTENT).digest()).decode(), None, "",
])  # fmt: skip
def test_a_file_comes_down_in_two_steps_and_its_hash_is_compared(digest: str | None) -> None:
    got = fetching(media(sha256=digest))
    assert (got.content, got.size, got.mime_type) == (CONTENT, len(CONTENT), "image/jpeg")
    assert got.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_can_be_written_into_a_sink() -> None:
    sink = io.BytesIO()
    got = fetching(media(), sink=sink)
    assert got.content is None and sink.getvalue() == CONTENT


@pytest.mark.parametrize(("answer", "limit", "code"), [
    (media(sha256="0" * 64), 1_000_000, "file_changed"), (media(sha256="not a hash"), 1_000_000, "file_changed"),
    (media(), 100, "file_too_large"), (media(file_size="9001"), 9000, "file_too_large"), (media(file_size=None), 100, "answer_too_large"),
    (media(url=None), 100_000, "malformed_answer"), (media(url="http://169.254.169.254/latest"), 100_000, "file_address"),
    (media(url="http://127.0.0.1:1/file"), 100_000, "file_address"), (media(url="file:///etc/passwd"), 100_000, "file_address"),
    (media(url="https://elsewhere.example/file"), 100_000, "file_address"), (media(url="http://[::1"), 100_000, "file_address"),
    (refuses(100, 400), 100_000, "100"),
])  # fmt: skip
def test_a_file_that_is_not_what_was_announced_is_refused(answer: Answerer, limit: int, code: str) -> None:
    with pytest.raises(ProviderError) as caught:
        fetching(answer, max_bytes=limit)
    assert caught.value.provider_code == code


def paged(count: int, loop: bool = False) -> Answerer:
    async def answer(request: web.Request) -> web.StreamResponse:
        page = int(request.query.get("after", "0"))
        rows = [{"id": f"{page}{n}", "name": f"t{page}{n}", "language": "en", "status": "approved", "category": "utility",
                 "components": [{"type": "BODY", "text": "x"}], "quality_score": {"score": "GREEN"}} for n in range(2)]  # fmt: skip
        paging = {
            "cursors": {"after": str(page if loop else page + 1)},
            "next": "http://169.254.169.254/steal-the-token",
        }
        if page + 1 >= count and not loop:
            del paging["next"]
        return web.json_response({"data": rows, "paging": paging})

    return answer


def test_templates_are_read_page_by_page_and_only_from_the_configured_address() -> None:
    async def work(server: StandIn, http: Http) -> None:
        found = await CHANNEL.list_templates(server.sender, http)
        assert [template.name for template in found] == ["t00", "t01", "t10", "t11", "t20", "t21"]
        assert {(template.status, template.category, template.quality) for template in found} == {
            ("APPROVED", "UTILITY", "GREEN")
        }
        assert all(call["path"].startswith("/v23.0/102290129340398/message_templates?") for call in server.got)

    against(paged(3), work)


def test_a_cursor_that_loops_ends() -> None:
    found = against(paged(9, loop=True), lambda server, http: CHANNEL.list_templates(server.sender, http))
    assert len(found) <= 6


def test_a_template_is_created_and_deleted() -> None:
    async def work(server: StandIn, http: Http) -> None:
        definition = {
            "name": "a",
            "language": "en",
            "category": "UTILITY",
            "components": [{"type": "BODY", "text": "x"}],
        }
        made = await CHANNEL.create_template(server.sender, definition, http)
        assert (made.provider_id, made.status, made.name, made.category) == ("15", "PENDING", "a", "UTILITY")
        await CHANNEL.delete_template(server.sender, "a&b", http, provider_id="15")
        assert json.loads(server.got[0]["body"]) == definition
        assert (server.got[1]["method"], server.got[1]["path"].partition("?")[2]) == ("DELETE", "name=a%26b&hsm_id=15")

    against(says(200, {"id": "15", "status": "PENDING", "category": "UTILITY", "success": True}), work)


def test_the_health_of_a_number_is_read_in_new_and_old_words() -> None:
    async def old(request: web.Request) -> web.StreamResponse:
        if "whatsapp_business_manager" in request.query["fields"]:
            return await refuses(100)(request)
        return web.json_response({"id": "1", "display_phone_number": "+1 555", "verified_name": "J", "quality_rating": "NA", "messaging_limit_tier": "TIER_1K"})  # fmt: skip

    new = says(200, {"id": "1", "quality_rating": "GREEN", "status": "CONNECTED", "whatsapp_business_manager_messaging_limit": "TIER_UNLIMITED"})  # fmt: skip
    health = against(old, lambda server, http: CHANNEL.number_health(server.sender, http))
    assert (health.quality, health.limit, health.limit_tier, health.status) == ("UNKNOWN", 1000, "TIER_1K", "UNKNOWN")
    health = against(new, lambda server, http: CHANNEL.number_health(server.sender, http))
    assert (health.quality, health.limit, health.limit_tier, health.status) == (
        "GREEN",
        None,
        "TIER_UNLIMITED",
        "CONNECTED",
    )


def test_ids_cannot_leave_their_place_in_the_address() -> None:
    async def work(server: StandIn, http: Http) -> None:
        with pytest.raises(ProviderError):
            await CHANNEL.download(server.sender, "../me/accounts?x=", http, max_bytes=10)
        assert server.got[0]["path"].startswith("/v23.0/..%2Fme%2Faccounts%3Fx")
        for climbing in ("", ".", ".."):
            with pytest.raises(Invalid):
                await CHANNEL.download(server.sender, climbing, http, max_bytes=10)

    against(says(400, {}), work)
