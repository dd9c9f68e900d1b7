"""Bounds the size of run-length encoded BMP files, which Pillow decodes in pure Python."""

from __future__ import annotations

import struct

from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError

HEADER = struct.Struct("<Iii4xI")
"""Size of the header, width, height and compression, from byte 14 on."""

HEADER_START = 14
MIN_HEADER = 40
"""Bytes of the shortest header with a field for the compression."""

RUN_LENGTH = frozenset({1, 2})
MAX_PIXELS = 4_000_000
"""Pillow decodes as many in about a second. Other files may have ``max_image_pixels``."""


def strip(raw: bytes) -> StrippedImage:
    """``raw`` unchanged. Raises :class:`TooManyPartsError` for a large run-length encoded file."""
    if len(raw) >= HEADER_START + HEADER.size:
        size, width, height, compression = HEADER.unpack_from(raw, HEADER_START)
        run_length = size >= MIN_HEADER and compression in RUN_LENGTH
        if run_length and abs(width * height) > MAX_PIXELS:
            raise TooManyPartsError("pixels in run-length code", MAX_PIXELS)
    return StrippedImage(raw)
