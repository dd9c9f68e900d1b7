"""Strips GIF (89a) files down to the screen and the first image with its transparency."""

from __future__ import annotations

import re

from deployments.seam.image_files.stripped import StrippedImage, bounded_steps

SCREEN_END = 13
GLOBAL_PALETTE = 0x80
GRAPHIC_CONTROL = 0xF9
INTRODUCERS = re.compile(rb"[!,;]")
EXTENSION, IMAGE = b"!", b","


def strip(raw: bytes) -> StrippedImage:
    """``raw`` without the comments and application data before its first image.

    Whatever follows that image is kept and never looked at.
    """
    flags = raw[10] if len(raw) > 10 else 0
    palette = 3 << ((flags & 7) + 1) if flags & GLOBAL_PALETTE else 0
    view, position, parts = memoryview(raw), SCREEN_END + palette, bounded_steps()
    kept = [view[:position]]
    while (begins := INTRODUCERS.search(raw, position)) is not None:
        next(parts)
        if begins[0] != EXTENSION:  # an image, or the end
            kept.append(view[begins.start() :])
            break
        position = begins.end() + 1
        while position < len(raw) and raw[position]:
            next(parts)
            position += 1 + raw[position]
        position += 1
        if raw[begins.end() : begins.end() + 1] == bytes([GRAPHIC_CONTROL]):
            kept.append(view[begins.start() : position])
    return StrippedImage(b"".join(kept))
