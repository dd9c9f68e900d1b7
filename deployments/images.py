"""Images: from an encoded file to the picture that a viewer shows, always as RGB.

Both sides of the seam read files by these rules: the ingress only their headers, the families all
of it. Nothing here knows a model.
"""

from __future__ import annotations

import io
import struct
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from deployments.seam import Problem

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is read. Pillow knows many more; each is code that strangers' bytes would reach."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Far more pixels than anybody's photograph; the second only where warnings are errors."""

UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
    struct.error,
    *BOMBS,
)
"""What Pillow's plugins raise for bytes that are not what they claim to be."""

Picture: TypeAlias = Image.Image
BACKGROUND = (255, 255, 255)


def opened(raw: bytes) -> Picture:
    """The file's first frame, of which only the header is read yet. Raises ``UNREADABLE``."""
    return Image.open(io.BytesIO(raw), formats=FORMATS)


def picture(raw: bytes) -> Picture | Problem:
    """The first frame, turned as its EXIF orientation says, over white where it is transparent."""
    try:
        with opened(raw) as image:
            image.load()
            return _rgb(_upright(image))
    except UNREADABLE:
        return Problem("validation", "the image is damaged or cut short", "image")


def _upright(image: Picture) -> Picture:
    try:
        return ImageOps.exif_transpose(image)
    except UNREADABLE:  # of the EXIF alone: a viewer shows such an image as it lies
        return image


def _rgb(image: Picture) -> Picture:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image)
    return image.convert("RGB")


def _eight_bits(image: Picture) -> Picture:
    """Grey of more than 8 bits, scaled; by itself Pillow would cut off whatever is over 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    least, most = (0.0, 65535.0) if image.mode.startswith("I") else (0.0, 1.0)
    if values.min() < least or values.max() > most:  # fits no convention: its own range is used
        least, most = float(values.min()), float(values.max())
    scaled = (values - least) * (255.0 / (most - least))
    return Image.fromarray(scaled.round().astype(np.uint8))
