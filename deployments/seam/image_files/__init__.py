"""Strips image files of comments, colour profiles, thumbnails and other metadata.

Pillow reads all of that when it opens a file: it inflates compressed texts, parses EXIF data, walks
over millions of empty parts, and refuses some good files over a long comment. So each file is
stripped first, in a walk over the headers of its parts that inflates and decodes nothing. Of the
EXIF data only the orientation is kept. A truncated file stays truncated, and Pillow reports it.
"""

from __future__ import annotations

from deployments.seam.image_files import avif, bmp, gif, jpeg, png, tiff
from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError

__all__ = ["StrippedImage", "TooManyPartsError", "strip_metadata"]

STRIP_BY_SIGNATURE = {
    b"\x89PNG\r\n\x1a\n": png.strip,
    b"\xff\xd8\xff": jpeg.strip,
    b"GIF8": gif.strip,
    b"BM": bmp.strip,
    b"II": tiff.strip,
    b"MM": tiff.strip,
}
"""The function that strips a file, by the file's first bytes. A WebP needs none: Pillow does not
read its metadata on its own."""


def strip_metadata(raw: bytes) -> StrippedImage:
    """``raw`` without metadata, and its orientation where that was found.

    Raises :class:`TooManyPartsError`, or ``ValueError`` for a damaged TIFF directory.
    """
    for signature, strip in STRIP_BY_SIGNATURE.items():
        if raw.startswith(signature):
            return strip(raw)
    if raw[4:8] == b"ftyp":
        return avif.strip(raw)
    return StrippedImage(raw)
