"""BMP: a bound on run-length code, which Pillow decodes pixel by pixel in Python."""

from __future__ import annotations

import struct

from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError

HEADER = struct.Struct("<Iii4xI")
"""The header's size, width, height, compression, from byte 14 on."""

HEADER_AT, WITH_COMPRESSION = 14, 40
RUN_LENGTH = frozenset({1, 2})
MAX_PIXELS = 4_000_000
"""A second's work. Others hold up to ``max_image_pixels``."""


def strip(raw: bytes) -> StrippedImage:
    """The file as it is. Raises :class:`TooManyPartsError`."""
    if len(raw) >= HEADER_AT + HEADER.size:
        size, width, height, compression = HEADER.unpack_from(raw, HEADER_AT)
        coded = size >= WITH_COMPRESSION and compression in RUN_LENGTH
        if coded and abs(width * height) > MAX_PIXELS:
            raise TooManyPartsError("pixels in run-length code", MAX_PIXELS)
    return StrippedImage(raw)
