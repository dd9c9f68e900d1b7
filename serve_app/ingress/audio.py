"""Checks audio files that clients send, by their header. The models' side decodes them."""

from __future__ import annotations

import re

from configs.settings import Settings
from deployments.seam.audio_files import AudioHeaderError, audio_format, read_audio_header
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.file_intake import FileKind, not_read, too_large

FORMATS = ("WAV", "FLAC")

SILENCE = "UklGRmQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YUAAAA" + "A" * 86 + "=="
"""A WAV file of 4 ms of silence, for the documentation."""

KNOWN = (
    (re.compile(rb"ID3"), "a file with an ID3 tag, as MP3 has"),
    (re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), "MP3"),
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


def checked_audio(raw: bytes, settings: Settings, field: str = "audio") -> bytes:
    """``raw``, after a check of its header, which alone is read.

    Raises :class:`ValidationFailed` when it is empty, damaged or no audio,
    :class:`UnsupportedMediaType` for a known format that is not read, :class:`PayloadTooLarge` for
    a recording that is longer or has more samples than the settings allow.
    """
    if not raw:
        raise ValidationFailed(f"{field} is empty.", field=field)
    if audio_format(raw) is None:
        raise not_read(raw, field, KNOWN, FORMATS, "is no audio file that is read here")
    try:
        header = read_audio_header(raw)
    except AudioHeaderError as error:
        raise ValidationFailed(f"{field} {error}.", field=field) from None
    if header.seconds is not None and header.seconds > settings.max_audio_s:
        message = f"{field} has {header.seconds:.1f} s; the limit is {settings.max_audio_s:g} s."
        raise too_large(message, field, limit_seconds=settings.max_audio_s)
    if header.samples is not None and header.samples > settings.max_audio_samples:
        message = f"{field} has {header.samples} samples in all channels; the limit is "
        message += f"{settings.max_audio_samples}."
        raise too_large(message, field, limit_samples=settings.max_audio_samples)
    return raw


AUDIO = FileKind("audio file", checked_audio)
