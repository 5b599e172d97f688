"""Files on disk, one folder an organization, named by their hash; its one rule: what a file is, its own bytes say."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import unicodedata
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flask import current_app
from flask_babel import gettext as _

from whatalker.errors import Invalid, NotFound

MEGA = 1024 * 1024
LIMITS = {"image": 5 * MEGA, "video": 16 * MEGA, "audio": 16 * MEGA, "document": 100 * MEGA, "sticker": 500 * 1024}
"""Bytes that WhatsApp takes of each kind."""

_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
SNIFFED = 4096
"""Bytes looked at."""

OFFICE = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)

SENDABLE = {
    "image": {"image/jpeg", "image/png"},
    "video": {"video/mp4", "video/3gpp"},
    "audio": {"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"},
}
"""What WhatsApp takes as a picture, a film or a sound; everything else goes as a document."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is on the shelf."""

    sha256: str
    size: int
    mime_type: str
    kind: str
    """How it would be sent: image, video, audio or document."""
    filename: str = ""


def sniff(head: bytes) -> str:
    """The type by the first bytes; text only where it is plain text without any mark-up of the web, else octet-stream."""
    for offset, mark, mime_type in _SIGNATURES:
        if head[offset : offset + len(mark)] == mark:
            return mime_type if mime_type != "image/webp" or head.startswith(b"RIFF") else "application/octet-stream"
    if head.startswith(b"PK\x03\x04"):
        return next((mime_type for mark, mime_type in OFFICE if mark in head), "application/zip")
    if head and b"\0" not in head:
        with suppress(UnicodeDecodeError):
            head[: len(head) - 3].decode() if len(head) >= SNIFFED else head.decode()
            return "text/plain"
    return "application/octet-stream"


def kind_of(mime_type: str) -> str:
    return next((kind for kind, types in SENDABLE.items() if mime_type in types), "document")


def safe_name(name: str, longest: int = 240) -> str:
    """The last part of a file's name without control, direction or path characters; may be empty."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in unicodedata.normalize("NFC", last) if unicodedata.category(c)[0] != "C" and c not in '<>:"|?*')
    return kept.strip(" .")[-longest:]


def folder_of(organization_id: uuid.UUID) -> Path:
    return Path(current_app.config["MEDIA_ROOT"]) / str(organization_id)


def path_of(organization_id: uuid.UUID, sha256: str) -> Path:
    """Where the file lies; NotFound for what is no hash, so that no path can be made of anything else."""
    if not _HASH.fullmatch(sha256 or ""):
        raise NotFound(_("There is no such file."))
    return folder_of(organization_id) / sha256[:2] / sha256


class Shelf:
    """Writes one file: into a temporary one first, under its final name only when it is whole."""

    def __init__(self, organization_id: uuid.UUID) -> None:
        self.organization_id = organization_id
        folder = folder_of(organization_id) / "incoming"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self.file: BinaryIO = os.fdopen(handle, "wb+")

    def keep(self, filename: str = "") -> Stored:
        """Flush to the disk, look at the bytes, and move it into place; the same file twice is one file."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.seek(0)
        digest = hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]
        size = self.file.tell()
        self.file.seek(0)
        mime_type = sniff(self.file.read(SNIFFED))
        self.file.close()
        final = path_of(self.organization_id, digest)
        final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.replace(final)
        return Stored(digest, size, mime_type, kind_of(mime_type), safe_name(filename))

    def drop(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def shelve(organization_id: uuid.UUID, pieces: Iterable[bytes], filename: str = "", most: int = 100 * MEGA) -> Stored:
    """Keep what the pieces hold; Invalid where there is nothing, or more than `most` bytes, and then nothing stays."""
    shelf = Shelf(organization_id)
    try:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > most:
                raise Invalid(_("The file is larger than %(most)s MB.", most=most // MEGA), "file_too_large")
            shelf.file.write(piece)
        if not size:
            raise Invalid(_("The file is empty."), "file_empty")
        return shelf.keep(filename)
    finally:
        shelf.drop()


def forget(organization_id: uuid.UUID, sha256: str) -> None:
    path_of(organization_id, sha256).unlink(missing_ok=True)
