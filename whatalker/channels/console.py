"""A channel without a network: it accepts every message and writes it down; for demonstrations and tests."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from whatalker.channels import (
    Incoming,
    Media,
    News,
    NumberHealth,
    Outgoing,
    Receipt,
    RemoteTemplate,
    Sender,
    Tick,
    Unsupported,
)
from whatalker.errors import ProviderError
from whatalker.http import Http

__all__ = ["Console"]

log = logging.getLogger(__name__)
KEPT = 10_000


class Console:
    """`sent` holds the newest attempts; the same attempt always gets the same provider id."""

    name = "console"

    def __init__(self) -> None:
        self.sent: deque[Outgoing] = deque(maxlen=KEPT)
        self.read: deque[str] = deque(maxlen=KEPT)
        self.files: dict[str, tuple[str, bytes]] = {}
        self.templates: dict[tuple[str, str], RemoteTemplate] = {}

    async def send(self, sender: Sender, outgoing: Outgoing, http: Http) -> Receipt:
        self.sent.append(outgoing)
        log.info("console channel took %s %s", outgoing.kind, outgoing.key)
        return Receipt(
            provider_id=f"console.{outgoing.key}",
            recipient_wa_id=outgoing.to or None,
            recipient_user_id=outgoing.to_user_id,
        )

    async def mark_read(self, sender: Sender, provider_id: str, http: Http) -> None:
        self.read.append(provider_id)

    async def typing(self, sender: Sender, provider_id: str, http: Http) -> None:
        self.read.append(provider_id)

    async def upload(
        self, sender: Sender, file: bytes | IO[bytes], http: Http, *, mime_type: str, filename: str
    ) -> str:
        content = file if isinstance(file, bytes) else file.read()
        media_id = hashlib.sha256(content).hexdigest()[:32]
        self.files[media_id] = (mime_type, content)
        return media_id

    async def download(
        self, sender: Sender, media_id: str, http: Http, *, max_bytes: int, sink: IO[bytes] | None = None
    ) -> Media:
        if media_id not in self.files:
            raise ProviderError("There is no such file.", outcome="refused", provider_code="404", permanent=True)
        mime_type, content = self.files[media_id]
        if len(content) > max_bytes:
            raise ProviderError(
                "The file is larger than allowed.", outcome="refused", provider_code="file_too_large", permanent=True
            )
        if sink is not None:
            sink.write(content)
        return Media(
            media_id=media_id,
            mime_type=mime_type,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            content=content if sink is None else None,
        )

    async def list_templates(self, sender: Sender, http: Http) -> list[RemoteTemplate]:
        return list(self.templates.values())

    async def create_template(self, sender: Sender, definition: Mapping[str, Any], http: Http) -> RemoteTemplate:
        made = RemoteTemplate(
            provider_id=f"console.{len(self.templates) + 1}",
            name=str(definition.get("name", "")),
            language=str(definition.get("language", "")),
            status="APPROVED",
            category=str(definition.get("category", "UTILITY")),
            components=list(definition.get("components") or []),
        )
        self.templates[made.name, made.language] = made
        return made

    async def delete_template(self, sender: Sender, name: str, http: Http, *, provider_id: str | None = None) -> None:
        for key, template in list(self.templates.items()):
            if template.name == name and provider_id in (None, template.provider_id):
                del self.templates[key]

    async def number_health(self, sender: Sender, http: Http) -> NumberHealth:
        return NumberHealth(
            external_id=sender.external_id,
            display_phone="",
            verified_name="Console",
            quality="GREEN",
            status="CONNECTED",
            limit=None,
            limit_tier=None,
            name_status=None,
            raw={},
        )

    def parse(self, payload: Any) -> list[News]:
        """{"account","from","id","text"} is a message, {"account","id","status"} a tick, all else Unsupported."""
        now = datetime.now(UTC)
        part = payload if isinstance(payload, dict) else {"raw": repr(payload)}
        texts = {name: value for name, value in part.items() if isinstance(value, str)}
        if {"account", "from", "id", "text"} <= texts.keys():
            return [
                Incoming(
                    event_key=f"{texts['id']}:text",
                    account=texts["account"],
                    business_id="",
                    provider_id=texts["id"],
                    wa_id=texts["from"],
                    at=now,
                    kind="text",
                    content={"text": texts["text"]},
                    text=texts["text"],
                )
            ]
        if {"account", "id", "status"} <= texts.keys() and texts["status"] in ("sent", "delivered", "read", "failed"):
            return [
                Tick(
                    event_key=f"{texts['id']}:{texts['status']}",
                    account=texts["account"],
                    provider_id=texts["id"],
                    key=texts["id"].removeprefix("console."),
                    status=texts["status"],
                    at=now,
                )
            ]
        digest = hashlib.sha256(repr(payload).encode("utf-8", "replace")).hexdigest()
        return [Unsupported(event_key=f"sha256:{digest}", field="", payload=part, at=now)]

    def verify(self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> bool:
        """The header X-Console-Secret holds one of the secrets."""
        given = str(headers.get("X-Console-Secret", "")).encode("utf-8", "replace")
        return any(secret and hmac.compare_digest(secret.encode(), given) for secret in secrets)
