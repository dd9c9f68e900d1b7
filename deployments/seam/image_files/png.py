"""PNG (ISO 15948): the chunks that make the picture, and the EXIF data where it is short."""

from __future__ import annotations

from deployments.seam.image_files.stripped import StrippedImage, bounded_steps

CHUNKS_START = 8
AROUND = 12
"""Bytes of a chunk beside its data: length, type, checksum."""

PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
EXIF, MAX_EXIF = b"eXIf", 65_536


def strip(raw: bytes) -> StrippedImage:
    """Without texts, profiles, private chunks and the later frames of an animation.

    They may be compressed, each byte of theirs standing for a thousand; none is inflated here.
    """
    view, kept = memoryview(raw), [memoryview(raw)[:CHUNKS_START]]
    start = CHUNKS_START
    for _ in bounded_steps():
        kind = raw[start + 4 : start + 8]
        if len(kind) < 4:
            break
        length = int.from_bytes(view[start : start + 4])
        end = start + AROUND + length
        if kind in PICTURE or (kind == EXIF and length <= MAX_EXIF):
            kept.append(view[start:end])
        if kind == b"IEND":
            break
        start = end
    return StrippedImage(b"".join(kept))
