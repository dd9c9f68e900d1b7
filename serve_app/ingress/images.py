"""Checks images that clients send, by their header. The pixels are decoded by the models' side."""

from __future__ import annotations

import re

from configs.settings import Settings
from deployments.seam.image_files import TooManyPartsError
from deployments.seam.image_files.encoded import (
    BOMBS,
    DECODE_ERRORS,
    FORMATS,
    EncodedImage,
)
from serve_app.ingress.errors import PayloadTooLarge, ValidationFailed
from serve_app.ingress.file_intake import FileKind, not_read, too_large

UNREADABLE = "is not an image, or its header is damaged"

KNOWN = (
    (re.compile(rb"....ftyp(heic|heix|mif1|msf1|hevc)", re.DOTALL), "HEIC"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg[\s>]", re.DOTALL), "SVG"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"8BPS"), "PSD"),
    (re.compile(rb"\x00\x00\x01\x00"), "ICO"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "JPEG XL"),
    (re.compile(rb"P[1-7]\s"), "PNM"),
    (re.compile(rb"%!PS"), "EPS"),
)
"""Signatures of formats that are not supported, so that the error can name them."""


def checked(raw: bytes, settings: Settings, field: str = "image") -> bytes:
    """``raw``, after a check that its header is that of an image that can be decoded.

    Raises :class:`ValidationFailed` when it is empty or no image, :class:`UnsupportedMediaType`
    for another image format, :class:`PayloadTooLarge` for more pixels or longer sides than the
    settings allow. Only the header is checked: a truncated file passes.
    """
    if not raw:
        raise ValidationFailed(f"{field} is empty.", field=field)
    try:
        width, height = EncodedImage(raw).size
    except TooManyPartsError as error:
        raise too_large(f"{field} is a file with {error}.", field) from None
    except BOMBS:
        raise _too_many(f"{field} has far more pixels", settings, field) from None
    except DECODE_ERRORS:
        raise not_read(raw, field, KNOWN, FORMATS, UNREADABLE) from None
    if max(width, height) > settings.max_image_side:
        message = f"{field} has {width} x {height} pixels; the limit of a side is "
        message += f"{settings.max_image_side}."
        raise too_large(message, field, limit_side=settings.max_image_side)
    if width * height > settings.max_image_pixels:
        raise _too_many(f"{field} has {width} x {height} pixels", settings, field)
    return raw


def _too_many(what: str, settings: Settings, field: str) -> PayloadTooLarge:
    message = f"{what}; the limit is {settings.max_image_pixels} pixels."
    return too_large(message, field, limit_pixels=settings.max_image_pixels)


IMAGE = FileKind("image", checked, by_url=True)
