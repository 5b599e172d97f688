"""Files of messages, in and out: fetched from the provider, taken from agents, served; its one rule: no name or type is believed."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any
from urllib.parse import quote, urlsplit

import structlog
from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select

from whatalker import channels
from whatalker import models as m
from whatalker.access import Actor, Permission, require
from whatalker.channels import Outgoing, Sender
from whatalker.db import now, session
from whatalker.errors import Invalid, NotFound, ProviderError
from whatalker.events import Event, publish
from whatalker.http import Http
from whatalker.queues import DEFAULT, Job, enqueue
from whatalker.services import connecting
from whatalker.services.shelving import (
    LIMITS,
    MEGA,
    Shelf,
    Stored,
    path_of,
    safe_name,
    shelve,
)

log = structlog.get_logger(__name__)

AT_ONCE = 16
LEASE = timedelta(minutes=5)
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720, 1440))
"""Between tries to fetch a file; after the last it has failed, and a person may ask again."""

KEPT_BY_PROVIDER = timedelta(days=30)
UPLOAD_GOOD_FOR = 20 * 86_400
"""Seconds; Meta keeps uploaded media for 30 days."""

INLINE = frozenset({
    "image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "video/3gpp", "audio/ogg", "audio/mpeg", "audio/mp4",
    "audio/aac", "audio/amr",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch, with all that the call needs: no row is touched while it runs."""

    id: uuid.UUID
    conversation_id: uuid.UUID
    organization_id: uuid.UUID
    kind: str
    media_id: str
    attempts: int
    is_old: bool
    channel: str
    sender: Sender | None


@dataclass(frozen=True, slots=True)
class Fetched:
    wanted: Wanted
    stored: Stored | None = None
    error: ProviderError | None = None


# ---------------------------------------------------------------- in


def organizations_waiting() -> list[uuid.UUID]:
    """Whose files are due; asked across all organizations, by upkeep, which rings FETCH_MEDIA for each."""
    a = m.Attachment
    query = select(a.organization_id).where(a.state == "wanted", a.available_at <= now()).distinct()
    return list(session.scalars(query))


def claim_files(organization_id: uuid.UUID) -> list[Wanted]:
    """Take a handful that is due, oldest first, for as long as the lease."""
    a, message, account = m.Attachment, m.Message, m.ChannelAccount
    moment = now()
    rows = session.execute(
        select(a, message.conversation_id, account)
        .join(message, (message.organization_id == a.organization_id) & (message.id == a.message_id))
        .join(account, (account.organization_id == a.organization_id) & (account.id == message.channel_account_id))
        .where(a.organization_id == organization_id, a.state == "wanted", a.available_at <= moment)
        .order_by(a.created_at).limit(AT_ONCE).with_for_update(skip_locked=True, of=a)
    ).all()  # fmt: skip
    wanted = []
    for file, conversation_id, number in rows:
        file.available_at, file.attempts = moment + LEASE, file.attempts + 1
        wanted.append(
            Wanted(file.id, conversation_id, organization_id, file.kind, file.provider_media_id or "", file.attempts,
                   moment - file.created_at > KEPT_BY_PROVIDER, number.channel, _sender(number))
        )  # fmt: skip
    return wanted


def _sender(number: m.ChannelAccount) -> Sender | None:
    try:
        return connecting.sender_of(number)
    except Invalid:
        return None


def download(wanted: Sequence[Wanted]) -> list[Fetched]:
    """Fetch them side by side; must not run in a transaction. How each ended is in the answer, never an exception."""
    base = urlsplit(current_app.config["WHATSAPP_API_BASE"])
    host = f"{base.hostname}:{base.port or (443 if base.scheme == 'https' else 80)}"

    async def fetch_all() -> list[Fetched]:
        async with Http(allowed_inner=(host,), limit=AT_ONCE) as http:
            return await asyncio.gather(*(_fetch(each, http) for each in wanted))

    return asyncio.run(fetch_all())


async def _fetch(wanted: Wanted, http: Http) -> Fetched:
    if wanted.sender is None:
        return Fetched(wanted, error=_refused("no_token", "The number has no working access token."))
    shelf = Shelf(wanted.organization_id)
    try:
        await channels.get(wanted.channel).download(
            wanted.sender, wanted.media_id, http, max_bytes=LIMITS.get(wanted.kind, 100 * MEGA) * 2, sink=shelf.file
        )
        return Fetched(wanted, stored=shelf.keep())
    except ProviderError as error:
        return Fetched(wanted, error=error)
    except OSError as error:
        return Fetched(wanted, error=_refused("not_stored", f"The file could not be stored here: {error.strerror}."))
    finally:
        shelf.drop()


def _refused(code: str, message: str) -> ProviderError:
    return ProviderError(message, outcome="refused", provider_code=code)


def settle_files(fetched: Sequence[Fetched]) -> int:
    """Write down how each ended; one that the contact deleted meanwhile stays gone. Answers how many are stored."""
    stored = 0
    for each in fetched:
        file = session.scalar(
            select(m.Attachment).where(m.Attachment.organization_id == each.wanted.organization_id,
                                       m.Attachment.id == each.wanted.id)
            .with_for_update().execution_options(populate_existing=True)
        )  # fmt: skip
        if file is None or file.state != "wanted":
            continue
        if each.stored is not None:
            file.state, file.error = "stored", ""
            file.sha256, file.size, file.mime_type = each.stored.sha256, each.stored.size, each.stored.mime_type
            stored += 1
        elif each.error is not None:
            _note_failure(file, each.error, each.wanted)
        publish(Event.MESSAGE_CHANGED, file.organization_id, conversation_id=each.wanted.conversation_id)
    return stored


def _note_failure(file: m.Attachment, error: ProviderError, wanted: Wanted) -> None:
    file.error = error.message[:500]
    log.warning("media_not_fetched", code=error.provider_code, attempts=file.attempts)
    if wanted.is_old or error.provider_code in ("100", "404"):
        file.state = "gone"
    elif error.permanent or file.attempts > len(WAITS):
        file.state = "failed"
    else:
        file.available_at = now() + WAITS[file.attempts - 1]


def fetch_again(actor: Actor, file: m.Attachment) -> None:
    """Somebody asks for a file that has failed."""
    require(actor, Permission.CONVERSATION_UPDATE)
    if file.state == "failed" and file.provider_media_id:
        file.state, file.attempts, file.available_at, file.error = "wanted", 0, now(), ""
        enqueue(DEFAULT, Job.FETCH_MEDIA, str(file.organization_id))


# ---------------------------------------------------------------- out


def take_upload(actor: Actor, stream: IO[bytes], filename: str, caption: str = "") -> tuple[str, dict[str, Any]]:
    """Keep an agent's file; answers kind and content for queue_message. Invalid when WhatsApp would not take it.

    The content names the file by its hash in this organization; upload_for() gives it to the provider when it is sent.
    """
    require(actor, Permission.MESSAGE_SEND)
    if actor.organization_id is None:
        raise NotFound(_("There is nothing here, or it is not yours to see."))
    stored = shelve(actor.organization_id, iter(lambda: stream.read(MEGA), b""), filename, LIMITS["document"])
    if stored.size > LIMITS[stored.kind]:
        raise Invalid(
            _("WhatsApp takes at most %(most)s MB of this kind of file.", most=LIMITS[stored.kind] // MEGA), "file_too_large"
        )
    content: dict[str, Any] = {"file": stored.sha256, "mime_type": stored.mime_type, "size": stored.size}
    if stored.kind == "document":
        content["filename"] = stored.filename or "file"
    elif stored.filename:
        content["name"] = stored.filename
    if caption and stored.kind != "audio":
        content["caption"] = caption
    return stored.kind, content


def attach(message: m.Message) -> m.Attachment | None:
    """The row that makes a queued message's own file visible in the thread; None for a message without one."""
    sha256 = message.content.get("file")
    if not isinstance(sha256, str) or not path_of(message.organization_id, sha256).exists():
        return None
    file = m.Attachment(
        organization_id=message.organization_id, message_id=message.id, kind=message.kind, sha256=sha256, state="stored",
        filename=safe_name(str(message.content.get("filename") or message.content.get("name") or "")),
        mime_type=str(message.content.get("mime_type") or "application/octet-stream")[:120],
        size=message.content.get("size"), error="", attempts=0, available_at=now(),
    )  # fmt: skip
    session.add(file)
    return file


_uploaded: dict[tuple[uuid.UUID, str], tuple[float, str]] = {}


async def upload_for(channel: str, sender: Sender, outgoing: Outgoing, http: Http) -> Outgoing:
    """The same message with the provider's id of its file; one without a file of ours comes back as it is.

    Called right before Channel.send, outside any transaction. A ProviderError here means that no message was sent: always
    `refused`, whatever became of the upload.
    """
    sha256 = outgoing.content.get("file")
    if not isinstance(sha256, str) or outgoing.content.get("media_id"):
        return outgoing
    at, media_id = _uploaded.get((sender.id, sha256), (0.0, ""))
    if not media_id or time.monotonic() - at > UPLOAD_GOOD_FOR:
        try:
            with path_of(sender.organization_id, sha256).open("rb") as file:
                media_id = await channels.get(channel).upload(
                    sender, file, http, mime_type=str(outgoing.content.get("mime_type") or "application/octet-stream"),
                    filename=str(outgoing.content.get("filename") or outgoing.content.get("name") or "file"),
                )  # fmt: skip
        except ProviderError as error:
            raise ProviderError(
                error.message, outcome="refused", provider_code=error.provider_code, title=error.title,
                retry_after=error.retry_after, permanent=error.permanent,
            ) from error  # fmt: skip
        except (OSError, NotFound) as error:
            raise ProviderError(
                "The file is no longer here; attach it again.", outcome="refused", provider_code="file_missing", permanent=True
            ) from error
        if len(_uploaded) > 1_000:
            _uploaded.clear()
        _uploaded[sender.id, sha256] = time.monotonic(), media_id
    return dataclasses.replace(outgoing, content={**outgoing.content, "media_id": media_id})


# ---------------------------------------------------------------- shown


def content_disposition(attachment: m.Attachment) -> dict[str, str]:
    """The headers a file is served with: only pictures, films and sounds open in the page, everything else is saved."""
    shown = attachment.mime_type in INLINE
    name = safe_name(attachment.filename) or f"{attachment.kind}-{str(attachment.id)[-8:]}"
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    return {
        "Content-Type": attachment.mime_type if shown else "application/octet-stream",
        "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, max-age=86400, immutable",
    }


def file_of(attachment: m.Attachment) -> str:
    """Where its bytes lie; NotFound while it is not stored."""
    if attachment.state != "stored" or not attachment.sha256:
        raise NotFound(_("This file is not here (yet)."))
    path = path_of(attachment.organization_id, attachment.sha256)
    if not path.exists():
        raise NotFound(_("This file is not here (yet)."))
    return str(path)


