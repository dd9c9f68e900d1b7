"""Checks files that clients send, by their header; large ones off the event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import TypeAlias

from configs.settings import Settings
from serve_app.ingress.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from serve_app.ingress.image_urls.downloads import ImageDownloads, RequestDownloads
from serve_app.ingress.image_urls.fetcher import Hold
from serve_app.ingress.sent_files import is_url, read_as_text

Signatures: TypeAlias = Sequence[tuple[re.Pattern[bytes], str]]
"""How files of formats that are not read begin, and what the error calls them."""

THREAD_BYTES = 8 * 1024
"""Larger files are checked in a thread, which would cost more than the check of a smaller one."""

SIGNATURE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of files, as images. ``name`` is for errors, as in "image".

    ``check`` gives a file's bytes back, or raises a :class:`ServiceError` about its field.
    ``by_url``: it may be named by a URL, where that is enabled.
    """

    name: str
    check: Callable[[bytes, Settings, str], bytes]
    by_url: bool = False


class FileIntake:
    """Receives files, at most ``threads`` large ones at a time.

    Those named by a URL are fetched through ``downloads``; without, they are refused.
    """

    def __init__(self, threads: int = 2, downloads: ImageDownloads | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="file-check")
        self._downloads = downloads
        self._of_request: RequestDownloads | None = None

    def for_request(self, hold: Hold) -> FileIntake:
        """The intake of one request, whose downloads are counted by ``hold``."""
        if self._downloads is None:
            return self
        intake = copy(self)
        intake._of_request = RequestDownloads(self._downloads, hold)
        return intake

    async def received(
        self, sent: str | bytes, kind: FileKind, settings: Settings, field: str
    ) -> bytes:
        """Like the function :func:`received`, without blocking the event loop.

        A file that is named by a URL is fetched if that is enabled and ``kind`` allows it.
        """
        if self._of_request is not None and kind.by_url and is_url(sent):
            assert isinstance(sent, str)
            sent = await self._of_request.fetched(sent.strip(), field)
        if len(sent) < THREAD_BYTES:
            return received(sent, kind, settings, field)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, received, sent, kind, settings, field)


def received(sent: str | bytes, kind: FileKind, settings: Settings, field: str) -> bytes:
    """The checked bytes of a file: sent as bytes, as a ``data:`` URI (RFC 2397) or as bare base64.

    Raises :class:`ValidationFailed` for text that is a URL, a path, or not base64, and what
    ``kind.check`` raises.
    """
    if isinstance(sent, bytes):
        return kind.check(sent, settings, field)
    return read_as_text(sent, field, kind.name, lambda raw: kind.check(raw, settings, field))


def not_read(
    raw: bytes, field: str, known: Signatures, formats: Sequence[str], otherwise: str
) -> ValidationFailed | UnsupportedMediaType:
    """The error for a file in none of ``formats``: a 415 that names its format if it is ``known``.

    ``otherwise`` says what is wrong with any other file, which is a 400.
    """
    begin, able = raw[:SIGNATURE_BYTES], ", ".join(formats)
    name = next((name for signature, name in known if signature.match(begin)), None)
    if name is None:
        return ValidationFailed(f"{field} {otherwise}. These are read: {able}.", field=field)
    message = f"{field} is {name}, which is not read here. These are: {able}."
    return UnsupportedMediaType(message, field=field, details={"field_errors": {field: message}})


def too_large(message: str, field: str, **limits: float) -> PayloadTooLarge:
    """The error for a file whose header claims more than the ``limits``, which it tells."""
    details = {"field_errors": {field: message}, **limits}
    return PayloadTooLarge(message, field=field, details=details)
