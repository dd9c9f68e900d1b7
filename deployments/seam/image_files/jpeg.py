"""Strips JPEG (ITU-T T.81) files down to the segments that libjpeg decodes."""

from __future__ import annotations

import re

from deployments.seam.image_files.exif import UPRIGHT, orientation
from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError, bounded_steps

SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP14, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
EXTENSIONS = range(0xF0, 0xFE)
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length, which have no meaning before the first scan."""

EXIF = b"Exif\x00\x00"
NOT_FILL = re.compile(rb"[^\xff]")
MAX_SEGMENTS = 1024
"""Segments before the first scan that are passed on to libjpeg; files usually have a few."""

MAX_SCANS = 64
"""A progressive file has about ten scans. A file with thousands of empty ones takes minutes to
decode (compare ``-maxscans`` of libjpeg-turbo)."""


def strip(raw: bytes) -> StrippedImage:
    """``raw`` without comments, profiles, previews and metadata, and the orientation from EXIF."""
    view, turned = memoryview(raw), UPRIGHT
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
    """Position of the second byte of the next marker; any number of bytes 0xFF may precede it."""
    start = raw.find(b"\xff", start)
    second = NOT_FILL.search(raw, start) if start >= 0 else None
    return None if second is None else second.start()


def _is_metadata(kind: int) -> bool:
    """Whether a segment can be left out. JFIF and Adobe segments say how colours are encoded."""
    return (APP0 < kind <= APP15 and kind != APP14) or kind == COM or kind in EXTENSIONS


def _check_scans(raw: bytes, start: int) -> None:
    # In entropy-coded data 0xFF is always followed by 0, so these two bytes only start a scan.
    if raw.count(b"\xff\xda", start) > MAX_SCANS:
        raise TooManyPartsError("scans", MAX_SCANS)
