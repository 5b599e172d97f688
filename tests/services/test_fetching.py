"""Files: fetched once they are wanted, believed only by their bytes, served so that none of them can run."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import current_app

from tests import factories
from tests.services.provider_calls import all_of, make_number, one_of, set_on
from whatalker import access, channels
from whatalker import models as m
from whatalker.channels import Outgoing
from whatalker.db import new_id, now, session, transaction
from whatalker.errors import Invalid, NotFound, ProviderError
from whatalker.http import Http
from whatalker.jobs.intake import fetch_media
from whatalker.services import connecting, fetching, shelving
from whatalker.tenancy import across, as_organization

pytestmark = pytest.mark.usefixtures("app_context")

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 2000


@pytest.fixture
def conversation(app_context: None) -> m.Conversation:
    organization = factories.make_organization()
    return factories.make_conversation(organization, channel_account=make_number(organization, channel="console"))


def want(conversation: m.Conversation, media_id: str, kind: str = "image", **values: Any) -> m.Attachment:
    message = factories.make_message(conversation, kind=kind, content={"media_id": media_id})
    file = m.Attachment(
        organization_id=conversation.organization_id, message_id=message.id, kind=kind, provider_media_id=media_id,
        **{"mime_type": "text/html"} | values,
    )  # fmt: skip
    with transaction(), as_organization(conversation.organization_id):
        session.add(file)
        session.flush()
    return file


def at_provider(media_id: str, content: bytes) -> None:
    channels.get("console").files[media_id] = ("text/html", content)  # type: ignore[attr-defined]


def test_a_wanted_file_is_fetched_and_its_type_comes_from_its_bytes(conversation: Any) -> None:
    at_provider("1", PNG)
    want(conversation, "1")
    with across("test"), transaction():
        assert fetching.organizations_waiting() == [conversation.organization_id]
    assert fetch_media(str(conversation.organization_id)) == 1
    file = one_of(m.Attachment, conversation)
    assert (file.state, file.mime_type, file.size) == ("stored", "image/png", len(PNG))
    assert file.sha256 == hashlib.sha256(PNG).hexdigest() and Path(fetching.file_of(file)).read_bytes() == PNG
    assert fetch_media(str(conversation.organization_id)) == 0


def test_a_file_that_cannot_be_had_is_tried_again_and_then_has_failed(conversation: Any) -> None:
    want(conversation, "missing")
    fetch_media(str(conversation.organization_id))
    assert one_of(m.Attachment, conversation).state == "gone"  # the provider says it has none
    set_on(m.Attachment, conversation, state="wanted", attempts=0, available_at=now())
    set_on(m.ChannelAccount, conversation, credentials={})
    for n in range(len(fetching.WAITS) + 1):
        file = one_of(m.Attachment, conversation)
        assert (file.state, file.attempts) == ("wanted", n)
        set_on(m.Attachment, conversation, available_at=now() - timedelta(seconds=1))
        fetch_media(str(conversation.organization_id))
    file = one_of(m.Attachment, conversation)
    assert file.state == "failed" and "token" in file.error


def test_a_file_that_is_too_large_fails_and_leaves_nothing_behind(conversation: Any) -> None:
    at_provider("2", b"x" * (shelving.LIMITS["sticker"] * 2 + 1))
    want(conversation, "2", kind="sticker")
    fetch_media(str(conversation.organization_id))
    assert one_of(m.Attachment, conversation).state == "failed"
    assert not list((shelving.folder_of(conversation.organization_id) / "incoming").iterdir())


def test_a_file_whose_message_was_deleted_meanwhile_stays_gone(conversation: Any) -> None:
    at_provider("3", PNG)
    want(conversation, "3")
    with transaction(), as_organization(conversation.organization_id):
        wanted = fetching.claim_files(conversation.organization_id)
    set_on(m.Attachment, conversation, state="gone")
    fetched = fetching.download(wanted)
    with transaction(), as_organization(conversation.organization_id):
        assert fetching.settle_files(fetched) == 0
    assert one_of(m.Attachment, conversation).state == "gone"


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"), (b"RIFF0000WEBPVP8", "image/webp"), (b"GIF89a..", "image/gif"),
        (b"\0\0\0 ftypisom", "video/mp4"), (b"OggS\0", "audio/ogg"), (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04....word/document.xml", shelving.OFFICE[0][1]), (b"PK\x03\x04....", "application/zip"),
        (b"<html><script>alert(1)</script>", "text/plain"), (b"<svg xmlns='http://www.w3.org/2000/svg'>", "text/plain"),
        ("ñandú".encode(), "text/plain"), (b"MZ\x90\0", "application/octet-stream"), (b"", "application/octet-stream"),
    ],
)  # fmt: skip
def test_types_are_sniffed(content: bytes, mime_type: str) -> None:
    assert shelving.sniff(content) == mime_type


@pytest.mark.parametrize(("mime_type", "way"), [("image/png", "inline"), ("text/plain", "attachment"), ("text/html", "attachment"),
                                                ("image/svg+xml", "attachment"), ("application/pdf", "attachment")])  # fmt: skip
def test_only_pictures_films_and_sounds_open_in_the_page(mime_type: str, way: str) -> None:
    name = 'a"b\r\nSet-Cookie: x=1;\u202egnp.exe'
    headers = fetching.content_disposition(m.Attachment(id=new_id(), kind="image", mime_type=mime_type, filename=name))
    assert headers["Content-Disposition"].startswith(f"{way}; filename=")
    assert headers["Content-Type"] == (mime_type if way == "inline" else "application/octet-stream")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Content-Security-Policy"].startswith("sandbox")
    assert not any(ord(c) < 32 or ord(c) > 126 for value in headers.values() for c in value)


def test_a_path_can_only_be_made_of_a_hash() -> None:
    for name in ("../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "/"):
        with pytest.raises(NotFound):
            shelving.path_of(new_id(), name)


def test_an_agents_file_is_kept_and_given_to_the_provider_once(conversation: Any) -> None:
    actor = access.system("test", conversation.organization_id)
    with transaction(), as_organization(conversation.organization_id):
        kind, content = fetching.take_upload(actor, io.BytesIO(PNG), "../me.html", "look")
    assert kind == "image" and content["caption"] == "look" and content["mime_type"] == "image/png"
    message = factories.make_message(conversation, "out", kind=kind, content=content)
    with transaction(), as_organization(conversation.organization_id):
        assert fetching.attach(message) is not None
    file = one_of(m.Attachment, conversation)
    assert (file.state, file.filename, file.sha256) == ("stored", "me.html", hashlib.sha256(PNG).hexdigest())
    number = one_of(m.ChannelAccount, conversation)
    outgoing = Outgoing(message_id=message.id, attempt=1, to="573001234567", kind=kind, content=content)

    async def upload(which: Outgoing) -> Outgoing:
        async with Http() as http:
            return await fetching.upload_for("console", connecting.sender_of(number), which, http)

    import asyncio

    ready = asyncio.run(upload(outgoing))
    assert channels.get("console").files[ready.content["media_id"]][1] == PNG  # type: ignore[attr-defined]
    channels.get("console").files.clear()  # type: ignore[attr-defined]
    assert asyncio.run(upload(outgoing)).content == ready.content and not channels.get("console").files  # type: ignore[attr-defined]
    lost = Outgoing(message_id=message.id, attempt=1, to="57", kind=kind, content={"file": "0" * 64})
    with pytest.raises(ProviderError) as fault:
        asyncio.run(upload(lost))
    assert fault.value.outcome == "refused" and fault.value.permanent


def test_files_that_whatsapp_would_not_take_are_refused_and_not_kept(conversation: Any) -> None:
    actor = access.system("test", conversation.organization_id)
    folder = Path(current_app.config["MEDIA_ROOT"])
    with transaction(), as_organization(conversation.organization_id):
        for content in (b"", PNG + b"x" * shelving.LIMITS["image"]):
            with pytest.raises(Invalid):
                fetching.take_upload(actor, io.BytesIO(content), "big.png")
    assert not list((folder / str(conversation.organization_id) / "incoming").iterdir())
    assert all_of(m.Attachment, conversation) == []
