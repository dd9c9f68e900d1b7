"""Image files without what no picture needs: comments, colour profiles, thumbnails, metadata.

Pillow reads all of that when it opens a file: it inflates compressed texts, parses EXIF data, walks
over millions of empty parts, and refuses some good files over a long comment. So a file is first
reduced to its picture, by a walk over the headers of its parts that inflates and decodes nothing.
Of the EXIF data the orientation is kept. A file that is cut short stays so, for Pillow to tell.
"""

from __future__ import annotations

from deployments.images.files import avif, bmp, gif, jpeg, png, tiff
from deployments.images.files.essence import Essence, TooManyPartsError

__all__ = ["Essence", "TooManyPartsError", "essence"]

WALKS = {
    b"\x89PNG\r\n\x1a\n": png.essence,
    b"\xff\xd8\xff": jpeg.essence,
    b"GIF8": gif.essence,
    b"BM": bmp.essence,
    b"II": tiff.essence,
    b"MM": tiff.essence,
}
"""By a file's first bytes. Of a WebP Pillow reads no metadata by itself."""


def essence(raw: bytes) -> Essence:
    """The picture in ``raw``, and how it is turned.

    Raises :class:`TooManyPartsError`, or ``ValueError`` where a directory of parts is damaged.
    """
    for signature, walk in WALKS.items():
        if raw.startswith(signature):
            return walk(raw)
    if raw[4:8] == b"ftyp":
        return avif.essence(raw)
    return Essence(raw)
