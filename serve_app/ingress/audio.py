"""Checks audio files that clients send, by their header. The models' side decodes them."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from configs.settings import Settings
from deployments.seam.audio_files import AudioHeaderError, audio_format, read_audio_header
from serve_app.ingress.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from serve_app.ingress.sent_files import UnknownFormat, read_as_text

WHAT = "audio file"
FORMATS = "WAV, FLAC"

KNOWN = (
    (re.compile(rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), "MP3"),
    (re.compile(rb"OggS"), "Ogg"),
    (re.compile(rb"....ftyp", re.DOTALL), "MP4"),
    (re.compile(rb"\x1aE\xdf\xa3"), "WebM or Matroska"),
    (re.compile(rb"FORM....AIF[FC]", re.DOTALL), "AIFF"),
    (re.compile(rb"RF64|riff"), "a WAV file of 64 bits"),
    (re.compile(rb"RIFX"), "a big-endian WAV file"),
    (re.compile(rb"#!AMR"), "AMR"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "AAC"),
    (re.compile(rb"\.snd"), "AU"),
    (re.compile(rb"\x30\x26\xb2\x75"), "WMA"),
)
"""Signatures of formats that are not read, so that the error can name them."""

THREAD_BYTES = 8 * 1024
"""Larger texts are decoded in a thread, which would cost more than a smaller one."""


async def received_audio(sent: str | bytes, settings: Settings, field: str = "audio") -> bytes:
    """The checked bytes of an audio file that was sent as a file or as text.

    Raises :class:`ValidationFailed` when it is empty, damaged or no audio,
    :class:`UnsupportedMediaType` for another format, :class:`PayloadTooLarge` for a recording that
    is longer than the settings allow. Only the header is read.
    """
    check = partial(checked_audio, settings=settings, field=field)
    if isinstance(sent, bytes):
        return check(sent)
    if len(sent) < THREAD_BYTES:
        return read_as_text(sent, field, WHAT, check)
    return await asyncio.to_thread(read_as_text, sent, field, WHAT, check)


def checked_audio(raw: bytes, settings: Settings, field: str = "audio") -> bytes:
    """``raw``, after a check of its header; raises as :func:`received_audio`."""
    if not raw:
        raise ValidationFailed(f"{field} is empty.", field=field)
    if audio_format(raw) is None:
        raise _other_format(raw, field)
    try:
        header = read_audio_header(raw)
    except AudioHeaderError as error:
        raise ValidationFailed(f"{field} {error}.", field=field) from None
    if header.seconds is not None and header.seconds > settings.max_audio_s:
        message = f"{field} has {header.seconds:.1f} s; the limit is {settings.max_audio_s:g} s."
        details = {"field_errors": {field: message}, "limit_seconds": settings.max_audio_s}
        raise PayloadTooLarge(message, field=field, details=details)
    return raw


def _other_format(raw: bytes, field: str) -> UnsupportedMediaType:
    name = next((name for signature, name in KNOWN if signature.match(raw[:16])), None)
    what = f"is {name}, which is not read here" if name else "is no audio file that is read here"
    message = f"{field} {what}. These are: {FORMATS}."
    kind = UnsupportedMediaType if name else UnknownFormat
    return kind(message, field=field, details={"field_errors": {field: message}})
