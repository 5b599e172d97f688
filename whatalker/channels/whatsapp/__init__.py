"""WhatsApp through Meta's Cloud API: the channel's face; bodies, calls and news are translated in the modules beside it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import IO, Any

from whatalker.channels import Media, News, NumberHealth, Outgoing, Receipt, RemoteTemplate, Sender
from whatalker.channels.whatsapp import graph_calls, graph_management, message_bodies, webhook_news
from whatalker.http import Http

__all__ = ["WhatsApp"]

SIGNATURE = "x-hub-signature-256"


class WhatsApp:
    """Keeps no state: one instance serves every number of every organization."""

    name = "whatsapp"

    def build(self, outgoing: Outgoing) -> dict[str, Any]:
        """The request body, without a call: the composer's early check. Raises Invalid with a sentence for the agent."""
        return message_bodies.build(outgoing)

    async def send(self, sender: Sender, outgoing: Outgoing, http: Http) -> Receipt:
        return await graph_calls.send(sender, outgoing, http)

    async def mark_read(self, sender: Sender, provider_id: str, http: Http) -> None:
        await graph_calls.mark_read(sender, provider_id, http)

    async def typing(self, sender: Sender, provider_id: str, http: Http) -> None:
        """Shown for 25 s or until the answer arrives, whichever is sooner; marks the message read."""
        await graph_calls.mark_read(sender, provider_id, http, typing=True)

    async def upload(
        self, sender: Sender, file: bytes | IO[bytes], http: Http, *, mime_type: str, filename: str
    ) -> str:
        """The media id, good for 30 days."""
        return await graph_calls.upload(sender, file, http, mime_type=mime_type, filename=filename)

    async def download(
        self, sender: Sender, media_id: str, http: Http, *, max_bytes: int, sink: IO[bytes] | None = None
    ) -> Media:
        """Refuses a file larger than max_bytes or whose hash is not the announced one; a sink may hold a part of it then."""
        return await graph_calls.download(sender, media_id, http, max_bytes=max_bytes, sink=sink)

    async def list_templates(self, sender: Sender, http: Http) -> list[RemoteTemplate]:
        return await graph_management.list_templates(sender, http)

    async def create_template(self, sender: Sender, definition: Mapping[str, Any], http: Http) -> RemoteTemplate:
        """`definition` as Meta takes it: name, language, category, components, parameter_format."""
        return await graph_management.create_template(sender, definition, http)

    async def delete_template(self, sender: Sender, name: str, http: Http, *, provider_id: str | None = None) -> None:
        """Every language of the name, or, with provider_id, only that one."""
        await graph_management.delete_template(sender, name, http, provider_id=provider_id)

    async def number_health(self, sender: Sender, http: Http) -> NumberHealth:
        return await graph_management.number_health(sender, http)

    def parse(self, payload: Any) -> list[News]:
        """Every piece of news in a webhook body, in its order. Never raises: what cannot be read becomes Unsupported."""
        return webhook_news.parse(payload)

    def verify(self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
        """Whether one of the app secrets signed exactly these bytes; compared in constant time, never raises.

        An empty secret never signs anything.
        """
        try:
            given = next((str(value) for name, value in headers.items() if str(name).lower() == SIGNATURE), "")
            algorithm, _equals, signature = given.partition("=")
            if algorithm.strip().lower() != "sha256":
                return False
            claimed = signature.strip().lower().encode("utf-8", "replace")
            found = False
            for secret in secrets:
                expected = hmac.new(secret.encode("utf-8", "replace"), raw, hashlib.sha256).hexdigest().encode()
                found |= bool(secret) and hmac.compare_digest(expected, claimed)
            return found
        except (AttributeError, TypeError, ValueError):
            return False
