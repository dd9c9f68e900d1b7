"""Strips AVIF files: renames the EXIF item, so that Pillow does not parse it.

The image properties ``irot`` and ``imir`` say how an AVIF is turned; the orientation in its EXIF
data is to be ignored (ISO 23000-22, 7.3.8).
"""

from __future__ import annotations

import re

from deployments.seam.image_files.stripped import StrippedImage

EXIF_ITEM = re.compile(rb"(infe[\x02\x03]\x00\x00.(?:..|....)\x00\x00)Exif", re.DOTALL)
"""The entry of the EXIF item (ISO 14496-12, 8.11.6): version, flags, id, protection, type."""


def strip(raw: bytes) -> StrippedImage:
    """``raw`` with its EXIF item renamed."""
    return StrippedImage(EXIF_ITEM.sub(rb"\1none", raw))
