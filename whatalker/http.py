"""The one way out: a pooled HTTP client that never reaches an inner address and says what a fault means for the sender."""

from __future__ import annotations

import errno
import ipaddress
import json as jsonlib
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import IO, Any, Literal, Self

import aiohttp
from yarl import URL

from whatalker.errors import Invalid, ProviderError

__all__ = ["Answer", "Http", "form", "is_public"]

DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_BYTES = 2_000_000
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 15.0
"""Shorter than the idle time of any provider we know: a call written into a connection that they are closing is `unknown`."""

ENCODE = jsonlib.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # the host services of one large cloud, on an address that looks public
        "192.0.0.0/24",  # protocol assignments; is_global says yes to parts of it
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4 carries an IPv4 address of the writer's choice
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether an address as dialled (never a name) lies outside every inner, mapped, translated or multicast range.

    Of IPv6 only 2000::/3 counts, so mapped (::ffff:0:0/96), translated (64:ff9b::/96) and compatible (::/96) forms
    of an inner IPv4 address are refused without unwrapping them.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if ip.version == 6 and ip not in GLOBAL_IPV6:
        return False
    if any(ip.version == net.version and ip in net for net in NEVER):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class _InnerAddress(OSError):
    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"inner address {address}")


def _vetted_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    family, kind, proto, _canonical, sockaddr = addr_info
    if not is_public(str(sockaddr[0])):
        raise _InnerAddress(str(sockaddr[0]))
    return socket.socket(family, kind, proto)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole; `body` is empty when it was streamed into a sink."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ProviderError(outcome="unknown"), for a provider that cannot be read may have accepted."""
        try:
            return jsonlib.loads(self.body)
        except (ValueError, RecursionError):
            raise _fault("The provider's answer could not be read.", "malformed_answer", "unknown") from None


def form(fields: Mapping[str, str], *, file: bytes | IO[bytes], filename: str, mime_type: str) -> aiohttp.FormData:
    """A multipart body of plain fields and one file called `file`."""
    body = aiohttp.FormData()
    for name, value in fields.items():
        body.add_field(name, value)
    body.add_field("file", file, filename=filename, content_type=mime_type)
    return body


def _fault(message: str, code: str, outcome: Literal["refused", "unknown"], permanent: bool = False) -> ProviderError:
    return ProviderError(message, outcome=outcome, provider_code=code, title=message, permanent=permanent)


def _translate(error: Exception) -> ProviderError:
    """Before the request was written a fault is `refused` and may be tried again; after it, `unknown`."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return _fault("The provider's name could not be resolved.", "name_not_found", "refused")
    if isinstance(error, aiohttp.ClientSSLError):
        return _fault("The provider's certificate could not be trusted.", "tls_failed", "refused")
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.os_error.errno == errno.EACCES and "inner address" in str(error):
            return _fault(
                "This address is inside our own network and is never called.", "inner_address", "refused", True
            )
        return _fault("The provider could not be reached.", "no_connection", "refused")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return _fault("The provider could not be reached in time.", "no_connection", "refused")
    if isinstance(error, TimeoutError):
        return _fault("The provider did not answer in time.", "timeout", "unknown")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        return _fault("The provider's answer was broken off or malformed.", "malformed_answer", "unknown")
    return _fault("The connection to the provider was lost before it answered.", "connection_lost", "unknown")


@lru_cache(maxsize=512)
def _target(url: str) -> tuple[URL, str]:
    """An address and its "host:port"; remembered, for a number's messages all go to one."""
    try:
        target = URL(url)
        host, port = target.host, target.port
    except (ValueError, TypeError):
        raise Invalid("This address is not a web address.", code="bad_address") from None
    if target.scheme not in ("http", "https") or not host or target.user is not None:
        raise Invalid("Only http and https addresses without a user name are called.", code="bad_address")
    return target, f"{host.lower()}:{port}"


@lru_cache(maxsize=64)
def _limits(total: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT_SECONDS, total))


class Http:
    """Async context manager over pooled sessions.

    allowed_inner  exact "host:port" texts, as the operator wrote them in a provider's base address, that may lie inside;
                   a name or address that merely resolves or redirects to such a place is still refused.
                   Give none to a client that calls addresses written by customers.
    limit          connections at once, over all hosts.
    """

    def __init__(
        self, *, allowed_inner: Iterable[str] = (), limit: int = 100, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self._allowed_inner = frozenset(text.strip().lower() for text in allowed_inner)
        self._limit = limit
        self._timeout = timeout
        self._public: aiohttp.ClientSession | None = None
        self._inner: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._public = self._session(_vetted_socket)
        self._inner = self._session(None) if self._allowed_inner else None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._public, self._inner):
            if session is not None:
                await session.close()
        self._public = self._inner = None

    def _session(self, socket_factory: Callable[[tuple[Any, ...]], socket.socket] | None) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            ttl_dns_cache=60,
            keepalive_timeout=KEEPALIVE_SECONDS,
            socket_factory=socket_factory,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "WhaTalker", "Accept-Encoding": "identity"},
        )

    def _session_for(self, url: str) -> tuple[aiohttp.ClientSession, URL]:
        if self._public is None:
            raise RuntimeError("Http is used inside `async with`.")
        target, place = _target(url)
        if self._inner is not None and place in self._allowed_inner:
            return self._inner, target
        return self._public, target

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        stream: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """One call, no redirect followed; any HTTP status is an Answer.

        timeout    seconds for the whole call, body included.
        max_bytes  of the answer's body; more is a fault, never a partial answer.
        stream     receives the body of a 2xx answer in pieces instead of `Answer.body`.
        Raises ProviderError (outcome "refused": certainly not written; "unknown": perhaps read) and Invalid for an address
        that cannot be called at all.
        """
        session, target = self._session_for(url)
        if json is not None:
            data = ENCODE(json).encode("utf-8", "replace")
            headers = {"Content-Type": "application/json", **(headers or {})}
        total = self._timeout if timeout is None else timeout
        try:
            async with session.request(
                method, target, data=data, headers=headers, timeout=_limits(total), allow_redirects=False
            ) as response:
                sink = stream if stream is not None and 200 <= response.status < 300 else None
                body = await _read(response, max_bytes, sink)
                return Answer(response.status, response.headers, body)
        except aiohttp.InvalidURL:
            raise Invalid("This address is not a web address.", code="bad_address") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translate(error) from error
        except ValueError as error:
            raise Invalid("This call cannot be written: a header holds a line break.", code="bad_call") from error


async def _read(response: aiohttp.ClientResponse, max_bytes: int, sink: Callable[[bytes], object] | None) -> bytes:
    length = response.content_length
    if length is not None and length > max_bytes:
        response.close()
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > max_bytes:
            response.close()
            raise _too_large()
        if sink is None:
            pieces.append(piece)
        else:
            sink(piece)
    return b"".join(pieces)


def _too_large() -> ProviderError:
    return _fault("The provider's answer was larger than allowed.", "answer_too_large", "unknown")
