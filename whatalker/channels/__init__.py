"""How messages leave and how news comes back; pure translation: a channel sees no row, no database and no policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol
from uuid import UUID

from whatalker.errors import NotFound
from whatalker.http import Http

if TYPE_CHECKING:
    from flask import Flask

__all__ = [
    "Channel",
    "Incoming",
    "Media",
    "News",
    "NumberChange",
    "NumberHealth",
    "Outgoing",
    "Preference",
    "Receipt",
    "RemoteTemplate",
    "Sender",
    "TemplateChange",
    "Tick",
    "Unsupported",
    "get",
    "init_app",
    "register",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The connected number, as a channel needs it."""

    organization_id: UUID
    id: UUID
    external_id: str
    """WhatsApp: the phone number id."""
    business_id: str
    """WhatsApp: the id of the business account."""
    credentials: Mapping[str, str] = field(repr=False)
    """access_token, and app_secret where this number has its own."""
    api_base: str
    """With its version, without a slash at the end: https://graph.facebook.com/v23.0, or the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One attempt to send one message."""

    message_id: UUID
    attempt: int
    to: str
    """The provider's id or digits, verbatim; empty where only the business-scoped user id is known."""
    to_user_id: str | None = None
    kind: str
    content: Mapping[str, Any]
    reply_to: str | None = None
    """The provider's id of the quoted message."""

    @property
    def key(self) -> str:
        """Comes back with every status of this attempt."""
        return f"{self.message_id}:{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The provider accepted; `held` where it says that it checks the message's quality first."""

    provider_id: str
    recipient_wa_id: str | None = None
    recipient_user_id: str | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message from a contact, or, with from_me, one written in the business app; `wa_id` is the contact's in both cases."""

    event_key: str
    account: str
    business_id: str
    provider_id: str
    wa_id: str
    user_id: str | None = None
    profile_name: str | None = None
    username: str | None = None
    at: datetime
    kind: str
    content: dict[str, Any]
    text: str = ""
    reply_to: str | None = None
    referral: dict[str, Any] | None = None
    from_me: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What became of a message that we sent."""

    event_key: str
    account: str
    provider_id: str
    key: str | None = None
    status: str
    """sent, delivered, read or failed."""
    at: datetime
    recipient_wa_id: str | None = None
    recipient_user_id: str | None = None
    error_code: str | None = None
    error_title: str | None = None
    error_details: str | None = None
    pricing: dict[str, Any] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A person stopped or resumed a purpose at the provider itself; only the person can change it back."""

    event_key: str
    account: str
    wa_id: str
    user_id: str | None = None
    at: datetime
    purpose: str = "marketing"
    choice: str
    """stop or resume."""
    provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateChange:
    event_key: str
    business_id: str
    provider_template_id: str
    name: str
    language: str
    change: str
    """status, quality, category or components."""
    value: Any
    """The new status, quality or category, upper-case as the provider writes it; the new parts for components."""
    reason: str | None = None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberChange:
    event_key: str
    account: str | None = None
    """None where the provider names only the business account; `value` may hold display_phone_number."""
    business_id: str
    change: str
    """quality, limit, name, account, review, alerts, security, capabilities or settings."""
    value: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """News nobody reads yet: kept and shown, never fatal."""

    event_key: str
    business_id: str | None = None
    account: str | None = None
    field: str
    payload: dict[str, Any]
    at: datetime | None = None


News = Incoming | Tick | Preference | TemplateChange | NumberChange | Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A file as the provider holds it; `content` is None where it was written into a sink. sha256 is lower-case hex."""

    media_id: str
    mime_type: str
    sha256: str
    size: int
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTemplate:
    """A template as the provider holds it now; statuses and categories upper-case as the provider writes them."""

    provider_id: str
    name: str
    language: str
    status: str
    category: str
    components: list[dict[str, Any]] = field(default_factory=list)
    quality: str | None = None
    rejected_reason: str | None = None
    parameter_format: str = "POSITIONAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberHealth:
    external_id: str
    display_phone: str
    verified_name: str
    quality: str
    """GREEN, YELLOW, RED or UNKNOWN."""
    status: str
    limit: int | None
    """Unique people in a moving 24 h outside windows, shared by the portfolio's numbers; None: unlimited or not told."""
    limit_tier: str | None
    name_status: str | None
    raw: dict[str, Any]


class Channel(Protocol):
    """What every channel can do. Calls raise ProviderError; `parse` and `verify` never raise."""

    name: str

    async def send(self, sender: Sender, outgoing: Outgoing, http: Http) -> Receipt: ...

    async def mark_read(self, sender: Sender, provider_id: str, http: Http) -> None: ...

    async def typing(self, sender: Sender, provider_id: str, http: Http) -> None:
        """Shows the contact that an answer is being written; marks the message read too, for providers do both at once."""

    async def upload(
        self, sender: Sender, file: bytes | IO[bytes], http: Http, *, mime_type: str, filename: str
    ) -> str: ...

    async def download(
        self, sender: Sender, media_id: str, http: Http, *, max_bytes: int, sink: IO[bytes] | None = None
    ) -> Media: ...

    async def list_templates(self, sender: Sender, http: Http) -> list[RemoteTemplate]: ...

    async def create_template(self, sender: Sender, definition: Mapping[str, Any], http: Http) -> RemoteTemplate: ...

    async def delete_template(
        self, sender: Sender, name: str, http: Http, *, provider_id: str | None = None
    ) -> None: ...

    async def number_health(self, sender: Sender, http: Http) -> NumberHealth: ...

    def parse(self, payload: Any) -> list[News]: ...

    def verify(self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool: ...


_channels: dict[str, Channel] = {}


def register(channel: Channel) -> None:
    """Makes a channel known by its name; the same name again replaces it."""
    _channels[channel.name] = channel


def get(name: str) -> Channel:
    """Raises NotFound for a name nobody registered."""
    try:
        return _channels[name]
    except KeyError:
        raise NotFound(f"There is no channel called {name}.", code="channel_unknown") from None


def init_app(app: Flask) -> None:
    """Registers the channels that ship with the product, and only those."""
    from whatalker.channels.console import Console
    from whatalker.channels.whatsapp import WhatsApp

    _channels.clear()
    register(WhatsApp())
    register(Console())
