"""Files of a thread, taken and served; its one rule: a file is shown to whoever sees its message, under the headers of its bytes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, request, send_file
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from whatalker import models as m
from whatalker import security
from whatalker.access import Actor, Permission
from whatalker.services import fetching, reading, shelving
from whatalker.web.inbox.blueprint import blueprint

ACCEPTED = "image/jpeg,image/png,video/mp4,video/3gpp,audio/*,application/pdf,text/plain,.doc,.docx,.xls,.xlsx,.ppt,.pptx,.zip,.csv"


FORM_OVERHEAD = 1024 * 1024


@blueprint.url_value_preprocessor
def _let_files_in(endpoint: str | None, values: object) -> None:
    """The form with a file may be as large as the largest file WhatsApp takes; read only once the person is let in."""
    if endpoint == "inbox.reply":
        request.max_content_length = max(shelving.LIMITS.values()) + FORM_OVERHEAD


@blueprint.get("/inbox/media/<uuid:attachment_id>")
@security.guard(Permission.INBOX_OPEN)
def file(attachment_id: UUID) -> Response:
    """The bytes; only pictures, films and sounds open in the page."""
    attachment = reading.attachment_of(security.actor(), attachment_id)
    headers = fetching.content_disposition(attachment)
    response = send_file(fetching.file_of(attachment), mimetype=headers["Content-Type"], conditional=True, etag=str(attachment.sha256))
    response.headers.update(headers)
    return response


def take(actor: Actor, upload: FileStorage, caption: str) -> tuple[str, dict[str, Any]]:
    """The kind and content of a message that carries the uploaded file; what it is, its own bytes say."""
    return fetching.take_upload(actor, upload.stream, upload.filename or "", caption.strip())


def show(actor: Actor, message: m.Message) -> None:
    """A message of ours with a file shows it in the thread at once; twice is once."""
    if message.content.get("file") and not reading.has_files(actor, message):
        fetching.attach(message)


def limits() -> list[dict[str, Any]]:
    """What the page checks before it uploads: a type by its beginning, how many bytes, and what to say."""
    names = {"image": _("Images"), "video": _("Videos"), "audio": _("Audio files"), "document": _("Documents")}
    return [
        {"type": f"{kind}/" if kind != "document" else "", "most": shelving.LIMITS[kind],
         "say": _("%(kind)s may have at most %(size)s MB on WhatsApp.", kind=name, size=shelving.LIMITS[kind] // shelving.MEGA)}
        for kind, name in names.items()
    ]  # fmt: skip
