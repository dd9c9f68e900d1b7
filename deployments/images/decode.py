"""Images: from an encoded file to the picture that a viewer shows, always as RGB.

Both sides of the seam read files by these rules: the ingress only their headers, the families all
of it. Nothing here knows a model.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import TypeAlias

import numpy as np
from PIL import Image

from deployments.seam.image_files import strip_metadata
from deployments.seam.image_files.exif import orientation
from deployments.seam.problems import Problem

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What is read. Pillow knows many more; each is code that strangers' bytes would reach."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Far more pixels than anybody's photograph; the second only where warnings are errors."""

DECODE_ERRORS = (
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

TURNS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright again, by its orientation in EXIF (TIFF 6.0, page 36)."""


NOTHING = Image.new("1", (1, 1))


class EncodedImage:
    """An encoded image. Constructing it reads its headers only, and raises ``UNREADABLE``."""

    def __init__(self, raw: bytes) -> None:
        found = strip_metadata(raw)
        self._image: Picture = Image.open(io.BytesIO(found.raw), formats=FORMATS)
        self._turned = found.orientation
        self.size: tuple[int, int] = self._image.size
        """Width and height as they are stored, before the image is turned."""

    @property
    def pixels(self) -> int:
        width, height = self.size
        return width * height

    def picture(self) -> Picture:
        """The first frame, turned as its EXIF orientation says, over white where it is transparent.

        Raises ``UNREADABLE``. Once only: the file is read to its end.
        """
        image, self._image = self._image, NOTHING  # whoever has this must not hold the pixels
        with image:
            image.load()
            turned = self._turned or orientation(image.info.get("exif", b""))
            return _rgb(image.transpose(TURNS[turned]) if turned in TURNS else image)


def handle_warnings() -> None:
    """Leave out Pillow's warnings in this process, which has one list of filters.

    Of damage that Pillow reads past, as a viewer does, and of more pixels than it thinks usual: the
    settings say how many may be. Each has a text of its own, which is a line in the log for every
    bad image, and which the process would remember for ever.
    """
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def picture(raw: bytes) -> Picture | Problem:
    """An encoded image as a viewer shows it, or what is wrong with it."""
    try:
        return EncodedImage(raw).picture()
    except DECODE_ERRORS:
        return DAMAGED


DAMAGED = Problem("validation", "the image is damaged or cut short", "image")


MIN_RANGE = 1e-30
"""Smaller ones do not divide 255 in float32."""


def _rgb(image: Picture) -> Picture:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        below = Image.new("RGB", image.size, BACKGROUND)
        below.paste(image, mask=image)
        return below
    return image.convert("RGB")


def _eight_bits(image: Picture) -> Picture:
    """Grey of more than 8 bits, scaled; by itself Pillow would cut off whatever is over 255.

    Values that fit no convention are scaled by their own range. One that is not a number is black,
    and an infinite one as far as the others go.
    """
    values = np.array(image, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        known = values[finite] if finite.any() else np.zeros(1, np.float32)
        np.nan_to_num(values, copy=False, nan=0.0, posinf=known.max(), neginf=known.min())
    least, most = (0.0, 65535.0) if image.mode.startswith("I") else (0.0, 1.0)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < least or highest > most:
        least, most = lowest, highest
    if most - least < MIN_RANGE:  # one value, which is below black or above white
        return Image.new("L", image.size, 255 if most > 0 else 0)
    # In place, and halved first: the difference of two numbers may not fit where both do.
    values /= 2
    values -= least / 2
    values *= 255.0 / (most / 2 - least / 2)
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
