"""Decodes an image file into the RGB picture that a viewer shows."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from PIL import Image

from deployments.seam.image_files.encoded import DECODE_ERRORS, EncodedImage
from deployments.seam.problems import Problem

Picture: TypeAlias = Image.Image
"""An upright RGB image."""

BACKGROUND = (255, 255, 255)

TRANSPOSES: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that makes an image upright, by its EXIF orientation (TIFF 6.0, page 36)."""

MIN_RANGE = 1e-30
"""In float32 a smaller range does not divide 255."""

DAMAGED = Problem("validation", "the image is damaged or cut short", "image")


def decode(raw: bytes) -> Picture | Problem:
    """The picture in a file, or a problem that says what is wrong with the file."""
    try:
        return decode_encoded(EncodedImage(raw))
    except DECODE_ERRORS:
        return DAMAGED


def decode_encoded(encoded: EncodedImage) -> Picture:
    """The first frame, turned as its EXIF orientation says, on white where it is transparent.

    Only once for each ``encoded``: the file is read to its end. Raises ``DECODE_ERRORS``.
    """
    frame = encoded.take_frame()
    with frame.image as image:
        transpose = TRANSPOSES.get(frame.orientation)
        return _rgb(image if transpose is None else image.transpose(transpose))


def _rgb(image: Image.Image) -> Picture:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, BACKGROUND)
        background.paste(image, mask=image)
        return background
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey values of more than 8 bits to 8; Pillow by itself would clip them at 255.

    Integers range to 65535 and floats to 1; values outside of that are scaled by their own range.
    NaN becomes black, infinite values become the largest or smallest finite one.
    """
    values = np.array(image, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        known = values[finite] if finite.any() else np.zeros(1, np.float32)
        np.nan_to_num(values, copy=False, nan=0.0, posinf=known.max(), neginf=known.min())
    black, white = (0.0, 65535.0) if image.mode.startswith("I") else (0.0, 1.0)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < black or highest > white:
        black, white = lowest, highest
    if white - black < MIN_RANGE:  # a single value, out of the usual range
        return Image.new("L", image.size, 255 if white > 0 else 0)
    # In place, and halved first: the difference of two float32 values may overflow.
    values /= 2
    values -= black / 2
    values *= 255.0 / (white / 2 - black / 2)
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
