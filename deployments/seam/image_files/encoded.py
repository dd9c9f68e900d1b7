"""An encoded image file, opened by its headers; the ingress checks it, a family decodes it."""

from __future__ import annotations

import io
import struct
import warnings
from typing import NamedTuple

from PIL import Image

from deployments.seam.image_files import strip_metadata
from deployments.seam.image_files.exif import orientation

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""The formats that are read. Pillow knows many more; each would be code that parses bytes of
strangers."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Raised for far more pixels than a photograph has; the warning only where warnings are errors."""

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
"""Exceptions that Pillow's plugins raise for damaged files."""

NO_IMAGE = Image.new("1", (1, 1))


class Frame(NamedTuple):
    """The first frame of a file as it is stored, and its EXIF orientation (1 to 8)."""

    image: Image.Image
    orientation: int


class EncodedImage:
    """An encoded image. Its constructor reads the headers only, and raises ``DECODE_ERRORS``."""

    def __init__(self, raw: bytes) -> None:
        stripped = strip_metadata(raw)
        self._image: Image.Image = Image.open(io.BytesIO(stripped.raw), formats=FORMATS)
        self._orientation = stripped.orientation
        self.size: tuple[int, int] = self._image.size
        """Stored width and height, before the orientation is applied."""

    @property
    def pixels(self) -> int:
        width, height = self.size
        return width * height

    def take_frame(self) -> Frame:
        """Decode the first frame and give it away; only once. Raises ``DECODE_ERRORS``.

        The caller closes the frame's image.
        """
        image, self._image = self._image, NO_IMAGE  # so that this object holds no pixels
        try:
            image.load()
            exif = image.info.get("exif", b"")
            return Frame(image, self._orientation or orientation(exif))
        except BaseException:
            image.close()
            raise


def ignore_pillow_warnings() -> None:
    """Silence Pillow's warnings in this process: about damage that it reads past, and about size.

    Viewers read past the same damage, and the settings bound the size. Each warning has its own
    text, so every bad image would be a line in the log and an entry in Python's registry of
    warnings.
    """
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
