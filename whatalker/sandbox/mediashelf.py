"""The media the provider holds: bytes with an id, on disk when there is a state folder, never above Meta's sizes."""

import base64
import hashlib
import secrets
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from .refusals import GraphError, wrong

MEGABYTE = 1024 * 1024
# Meta's page "Supported media types": mime type -> (kind, most bytes).
_IMAGES = {"image/jpeg": 5, "image/png": 5}
_VIDEOS = {"video/mp4": 16, "video/3gpp": 16}
_AUDIOS = {"audio/aac": 16, "audio/amr": 16, "audio/mpeg": 16, "audio/mp4": 16, "audio/ogg": 16}
_DOCUMENTS = {
    "text/plain": 100,
    "text/csv": 100,
    "application/pdf": 100,
    "application/msword": 100,
    "application/vnd.ms-excel": 100,
    "application/vnd.ms-powerpoint": 100,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": 100,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": 100,
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": 100,
}
LIMITS = _IMAGES | _VIDEOS | _AUDIOS | _DOCUMENTS | {"image/webp": 0.5}
LARGEST = 100 * MEGABYTE
URL_LIFE = 300
"""Seconds a download address works, as Meta says."""


class MediaShelf:
    """Files by id; the oldest go when `most_bytes` is reached."""

    def __init__(self, folder: Path | None, most_bytes: int = 512 * MEGABYTE) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.rows: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._bytes: dict[str, bytes] = {}
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes, mime_type: str, filename: str, owner: str, *, strict: bool = True) -> str:
        """Keep a file and return its id; `strict` applies Meta's types and sizes (a contact sends anything)."""
        bare = mime_type.split(";", maxsplit=1)[0].strip().lower()
        if strict:
            if bare not in LIMITS:
                listed = ", ".join(sorted(LIMITS))
                raise wrong(
                    f"Param file must be a file with one of the following types: {listed}. "
                    f"Received file of type '{bare}'."
                )
            if len(data) > LIMITS[bare] * MEGABYTE:
                raise GraphError(
                    131053,
                    details=f"Media file size too big. Max file size we currently support for {bare} "
                    f"is {LIMITS[bare]} MB, received {len(data)} bytes.",
                    status=400,
                )
            if not data:
                raise wrong("Param file must not be empty.")
        media_id = str(10**15 + secrets.randbelow(9 * 10**15))
        self.rows[media_id] = {
            "mime_type": mime_type,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "filename": filename,
            "owner": owner,
        }
        if self.folder:
            (self.folder / media_id).write_bytes(data)
        else:
            self._bytes[media_id] = data
        self._make_room()
        return media_id

    def _make_room(self) -> None:
        total = sum(row["size"] for row in self.rows.values())
        while total > self.most_bytes and len(self.rows) > 1:
            oldest = next(iter(self.rows))
            total -= self.rows[oldest]["size"]
            self.drop(oldest)

    def data(self, media_id: str) -> bytes | None:
        """The bytes, or None when the file is gone."""
        if media_id not in self.rows:
            return None
        if not self.folder:
            return self._bytes.get(media_id)
        try:
            return (self.folder / media_id).read_bytes()
        except FileNotFoundError:
            return None

    def drop(self, media_id: str) -> None:
        """Forget a file; forgetting twice is fine."""
        self.rows.pop(media_id, None)
        self._bytes.pop(media_id, None)
        if self.folder:
            (self.folder / media_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every file."""
        for media_id in list(self.rows):
            self.drop(media_id)

    def described(self, media_id: str, host: str) -> dict[str, Any]:
        """Meta's answer to GET /{media_id}: an address on `host` that works for five minutes."""
        row = self.rows[media_id]
        until = int(time.time()) + URL_LIFE
        query = f"mid={media_id}&ext={until}&hash={self.mark(media_id, until)}"
        return {
            "url": f"{host}/whatsapp_business/attachments/?{query}",
            "mime_type": row["mime_type"],
            "sha256": row["sha256"],
            "file_size": row["size"],
            "id": media_id,
            "messaging_product": "whatsapp",
        }

    def mark(self, media_id: str, until: int) -> str:
        """What makes a download address hard to invent."""
        return hashlib.sha256(f"{media_id}:{until}:{self.rows[media_id]['sha256']}".encode()).hexdigest()[:32]

    def in_webhook(self, media_id: str) -> dict[str, Any]:
        """How a webhook names a file: base64 digest, as in Meta's examples."""
        row = self.rows[media_id]
        digest = base64.b64encode(bytes.fromhex(row["sha256"])).decode()
        return {"mime_type": row["mime_type"], "sha256": digest, "id": media_id}
