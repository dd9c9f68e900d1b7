"""Strips PNG (ISO 15948) files down to the chunks of the picture, and short EXIF data."""

from __future__ import annotations

from deployments.seam.image_files.stripped import StrippedImage, bounded_steps

CHUNKS_START = 8
CHUNK_OVERHEAD = 12
"""Bytes of a chunk in addition to its data: length, type, checksum."""

PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
EXIF, MAX_EXIF = b"eXIf", 65_536


def strip(raw: bytes) -> StrippedImage:
    """``raw`` without texts, profiles, private chunks and the later frames of an animation.

    Nothing is inflated, since a compressed chunk may become a thousand times as large.
    """
    view, kept = memoryview(raw), [memoryview(raw)[:CHUNKS_START]]
    start = CHUNKS_START
    for _ in bounded_steps():
        kind = raw[start + 4 : start + 8]
        if len(kind) < 4:
            break
        length = int.from_bytes(view[start : start + 4])
        end = start + CHUNK_OVERHEAD + length
        if kind in PICTURE or (kind == EXIF and length <= MAX_EXIF):
            kept.append(view[start:end])
        if kind == b"IEND":
            break
        start = end
    return StrippedImage(b"".join(kept))
