"""JPEG (ITU-T T.81): the segments that libjpeg decodes, and the orientation from EXIF."""

from __future__ import annotations

import re

from deployments.seam.image_files.exif import orientation
from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError, bounded_steps

SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP14, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
EXTENSIONS = range(0xF0, 0xFE)
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers that no length follows, and that mean nothing before the first scan."""

EXIF = b"Exif\x00\x00"
NOT_FILL = re.compile(rb"[^\xff]")
MAX_SEGMENTS = 1024
"""That libjpeg and Pillow read before the first scan: tables of numbers, a few as a rule."""

MAX_SCANS = 64
"""Passes over the picture. A progressive file has about ten; one of thousands of empty passes
takes minutes to decode (libjpeg-turbo calls that its ``-maxscans``)."""


def strip(raw: bytes) -> StrippedImage:
    """Without comments, profiles, previews and metadata, which may come in a million segments."""
    view, turned = memoryview(raw), 1
    kept: list[bytes | memoryview] = [view[:2]]
    found, position, segments = False, 2, bounded_steps("segments", MAX_SEGMENTS)
    for _ in bounded_steps():
        marker = _marker(raw, position)
        if marker is None:
            break
        kind = raw[marker]
        if kind in (SOS, EOI):
            _check_scans(raw, marker)
            kept += [b"\xff", view[marker:]]
            break
        if kind == 0 or kind in ALONE:
            position = marker + 1
            continue
        length = 0 if kind == SOI else int.from_bytes(view[marker + 1 : marker + 3])
        position = marker + 1 + length
        if kind == APP1 and not found and raw.startswith(EXIF, marker + 3):
            found, turned = True, orientation(raw[marker + 3 + len(EXIF) : position])
        if not _is_metadata(kind):
            next(segments)
            kept += [b"\xff", view[marker:position]]
    return StrippedImage(b"".join(kept), turned)


def _marker(raw: bytes, start: int) -> int | None:
    """Where the next marker's second byte is. Any number of bytes 0xFF may go before it."""
    start = raw.find(b"\xff", start)
    second = NOT_FILL.search(raw, start) if start >= 0 else None
    return None if second is None else second.start()


def _is_metadata(kind: int) -> bool:
    """JFIF and Adobe's segment say how colours are coded: they stay."""
    return (APP0 < kind <= APP15 and kind != APP14) or kind == COM or kind in EXTENSIONS


def _check_scans(raw: bytes, start: int) -> None:
    # Within coded data every 0xFF is followed by 0: the pair stands for nothing but a scan.
    if raw.count(b"\xff\xda", start) > MAX_SCANS:
        raise TooManyPartsError("scans", MAX_SCANS)
