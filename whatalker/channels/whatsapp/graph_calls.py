"""Calls to the Graph API about messages and files, and what its answers mean: accepted, refused by a code, or unknown."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import quote, urlsplit

from whatalker.channels import Media, Outgoing, Receipt, Sender
from whatalker.channels.provider_codes import explain
from whatalker.channels.whatsapp import message_bodies
from whatalker.errors import Invalid, ProviderError
from whatalker.http import Answer, Http, form

__all__ = ["ask", "download", "mark_read", "node", "send", "upload"]

SEND_SECONDS = 30.0
FILE_SECONDS = 120.0
HELD = frozenset({"held_for_quality_assessment", "paused"})


async def send(sender: Sender, outgoing: Outgoing, http: Http) -> Receipt:
    """Raises ProviderError; a message that cannot be written in WhatsApp's form is a permanent refusal without a call."""
    try:
        body = message_bodies.build(outgoing)
        url = node(sender, sender.external_id, "messages")
    except Invalid as error:
        raise _never_written(error) from error
    said = await ask("POST", url, sender, http, json=body)
    message = _first(said, "messages")
    if not isinstance(message.get("id"), str) or not message["id"]:
        raise _unreadable()
    contact = _first(said, "contacts")
    return Receipt(
        provider_id=message["id"],
        recipient_wa_id=_text(contact.get("wa_id")),
        recipient_user_id=_text(contact.get("user_id")),
        held=message.get("message_status") in HELD,
    )


async def mark_read(sender: Sender, provider_id: str, http: Http, *, typing: bool = False) -> None:
    body = message_bodies.read_receipt(provider_id, typing)
    await ask("POST", node(sender, sender.external_id, "messages"), sender, http, json=body)


async def upload(sender: Sender, file: bytes | IO[bytes], http: Http, *, mime_type: str, filename: str) -> str:
    data = form({"messaging_product": "whatsapp", "type": mime_type}, file=file, filename=filename, mime_type=mime_type)
    said = await ask("POST", node(sender, sender.external_id, "media"), sender, http, data=data, timeout=FILE_SECONDS)
    media_id = _text(said.get("id"))
    if not media_id:
        raise _unreadable()
    return media_id


async def download(
    sender: Sender, media_id: str, http: Http, *, max_bytes: int, sink: IO[bytes] | None = None
) -> Media:
    url = f"{node(sender, media_id)}?phone_number_id={quote(sender.external_id, safe='')}"
    said = await ask("GET", url, sender, http)
    address = _text(said.get("url"))
    if not address:
        raise _unreadable()
    size = said.get("file_size")
    if str(size).isdigit() and int(str(size)) > max_bytes:
        raise _file_refused("file_too_large", "The file is larger than allowed.")
    headers = _token(sender) if _may_carry_token(address, sender.api_base) else None
    if headers is None:
        raise _file_refused("file_address", "WhatsApp named an address for the file that is not safe to call.")
    digest = hashlib.sha256()
    pieces: list[bytes] = []
    count = 0

    def take(piece: bytes) -> None:
        nonlocal count
        count += len(piece)
        digest.update(piece)
        if sink is None:
            pieces.append(piece)
        else:
            sink.write(piece)

    answer = await http.request("GET", address, headers=headers, timeout=FILE_SECONDS, max_bytes=max_bytes, stream=take)
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    if not _same_hash(_text(said.get("sha256")), digest.digest()):
        raise _file_refused("file_changed", "The file is not the one WhatsApp announced.")
    return Media(
        media_id=media_id,
        mime_type=_text(said.get("mime_type")) or "application/octet-stream",
        sha256=digest.hexdigest(),
        size=count,
        content=b"".join(pieces) if sink is None else None,
    )


def node(sender: Sender, *path: str) -> str:
    """The address of a node or edge under this number's API; ids are quoted, and none climbs out of its place."""
    if any(not part.strip(".") for part in path):
        raise Invalid("This id cannot be one of the provider's.", code="bad_address")
    return "/".join([sender.api_base.rstrip("/"), *(quote(part, safe="") for part in path)])


async def ask(
    method: str,
    url: str,
    sender: Sender,
    http: Http,
    *,
    json: Any = None,
    data: Any = None,
    timeout: float = SEND_SECONDS,
) -> dict[str, Any]:
    """The JSON object of a 2xx answer; everything else is a ProviderError."""
    try:
        answer = await http.request(method, url, json=json, data=data, headers=_token(sender), timeout=timeout)
    except Invalid as error:
        raise _never_written(error) from error
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    said = answer.json()
    if not isinstance(said, dict):
        raise _unreadable()
    if isinstance(said.get("error"), dict):
        raise refusal(answer)
    return said


def refusal(answer: Answer) -> ProviderError:
    """5xx, 408 and redirects are unknown: something behind the door may have accepted. Every other error answer refused."""
    error = _structured(answer)
    code = error.get("code")
    known_code = str(code) if isinstance(code, int) and not isinstance(code, bool) else None
    if known_code is None and answer.status == 401:
        known_code = "190"  # a bare 401 says the same as Meta's code: the token no longer holds
    outcome = "unknown" if answer.status >= 500 or answer.status in (301, 302, 303, 307, 308, 408) else "refused"
    title = _text(error.get("error_user_title")) or _text(error.get("message")) or f"HTTP {answer.status}"
    details = error.get("error_data")
    fact = explain(
        "meta",
        known_code or ("server_error" if outcome == "unknown" else None),
        title=title,
        reference=_text(error.get("fbtrace_id")) or "",
        http_status=answer.status,
        transient=error.get("is_transient") is True,
    )
    return ProviderError(
        title,
        outcome="unknown" if outcome == "unknown" else "refused",
        provider_code=known_code or (None if outcome == "refused" else "server_error"),
        title=title,
        retry_after=_retry_after(answer) or (fact.waits[0] if fact.retry and fact.waits else None),
        permanent=outcome == "refused" and fact.message == "fail",
        said=(_text(details.get("details")) if isinstance(details, dict) else None)
        or _text(error.get("error_user_msg")),
        subcode=error.get("error_subcode"),
        reference=_text(error.get("fbtrace_id")),
        http_status=answer.status,
    )


def _structured(answer: Answer) -> dict[str, Any]:
    try:
        said = answer.json()
    except ProviderError:
        return {}
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {}


def _retry_after(answer: Answer) -> float | None:
    said = answer.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), 86_400.0)
    try:
        moment = parsedate_to_datetime(said)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), 86_400.0)


def _token(sender: Sender) -> dict[str, str]:
    return {"Authorization": f"Bearer {sender.credentials.get('access_token', '')}"}


def _may_carry_token(address: str, api_base: str) -> bool:
    """The token travels encrypted, or to the very host and port that the operator configured."""
    try:
        there, home = urlsplit(address), urlsplit(api_base)
        if there.scheme == "https":
            return home.scheme == "https" or there.hostname == home.hostname
        return there.scheme == "http" == home.scheme and there.netloc == home.netloc
    except ValueError:
        return False


def _same_hash(announced: str | None, digest: bytes) -> bool:
    """Meta writes the hash as hex in one place and as base64 in another; none announced means nothing to compare."""
    if not announced:
        return True
    if announced.lower() == digest.hex():
        return True
    try:
        return base64.b64decode(announced, validate=True) == digest
    except (binascii.Error, ValueError):
        return False


def _first(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return found[0]
    return {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _never_written(error: Invalid) -> ProviderError:
    """A message is wrong for good; a wrong address or token waits for an admin (the catalogue says which)."""
    fact = explain("meta", error.code)
    return ProviderError(
        error.message,
        outcome="refused",
        provider_code=error.code,
        title=error.message,
        permanent=fact.message == "fail",
    )


def _unreadable() -> ProviderError:
    return ProviderError(
        "The provider's answer could not be read.", outcome="unknown", provider_code="malformed_answer"
    )


def _file_refused(code: str, message: str) -> ProviderError:
    return ProviderError(message, outcome="refused", provider_code=code, permanent=True)
