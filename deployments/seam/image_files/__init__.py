"""Image files without what no picture needs: comments, colour profiles, thumbnails, metadata.

Pillow reads all of that when it opens a file: it inflates compressed texts, parses EXIF data, walks
over millions of empty parts, and refuses some good files over a long comment. So a file is first
reduced to its picture, by a walk over the headers of its parts that inflates and decodes nothing.
Of the EXIF data the orientation is kept. A file that is cut short stays so, for Pillow to tell.
"""

from __future__ import annotations

from deployments.seam.image_files import avif, bmp, gif, jpeg, png, tiff
from deployments.seam.image_files.stripped import StrippedImage, TooManyPartsError

__all__ = ["StrippedImage", "TooManyPartsError", "strip_metadata"]

WALKS = {
    b"\x89PNG\r\n\x1a\n": png.strip,
    b"\xff\xd8\xff": jpeg.strip,
    b"GIF8": gif.strip,
    b"BM": bmp.strip,
    b"II": tiff.strip,
    b"MM": tiff.strip,
}
"""By a file's first bytes. Of a WebP Pillow reads no metadata by itself."""


def strip_metadata(raw: bytes) -> StrippedImage:
    """The picture in ``raw``, and how it is turned.

    Raises :class:`TooManyPartsError`, or ``ValueError`` where a directory of parts is damaged.
    """
    for signature, walk in WALKS.items():
        if raw.startswith(signature):
            return walk(raw)
    if raw[4:8] == b"ftyp":
        return avif.strip(raw)
    return StrippedImage(raw)
