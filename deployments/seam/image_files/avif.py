"""AVIF: the file with its EXIF item renamed, so that nothing reads it.

Properties of the image (``irot``, ``imir``) say how an AVIF is turned, and EXIF's orientation is to
be ignored (ISO 23000-22, 7.3.8). Pillow parses all of the EXIF data nevertheless.
"""

from __future__ import annotations

import re

from deployments.seam.image_files.stripped import StrippedImage

EXIF_ITEM = re.compile(rb"(infe[\x02\x03]\x00\x00.(?:..|....)\x00\x00)Exif", re.DOTALL)
"""An item's entry (ISO 14496-12, 8.11.6): version, flags, id, protection, and type."""


def strip(raw: bytes) -> StrippedImage:
    return StrippedImage(EXIF_ITEM.sub(rb"\1none", raw))
