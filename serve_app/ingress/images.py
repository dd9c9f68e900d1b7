"""Checks images that clients send, by their header. The pixels are decoded by the models' side."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

from configs.settings import Settings
from deployments.seam.image_files import TooManyPartsError
from deployments.seam.image_files.encoded import (
    BOMBS,
    DECODE_ERRORS,
    FORMATS,
    EncodedImage,
    ignore_pillow_warnings,
)
from serve_app.ingress.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from serve_app.ingress.sent_files import read_as_text

WHAT = "image"

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


THREAD_BYTES = 8 * 1024
"""Larger images are checked in a thread, which would cost more than the check of a smaller one."""


class ImageIntake:
    """Checks images, at most ``threads`` large ones at a time."""

    def __init__(self, threads: int = 2) -> None:
        ignore_pillow_warnings()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="image-check")

    async def received(self, sent: str | bytes, settings: Settings, field: str = "image") -> bytes:
        """Like the function :func:`received`, without blocking the event loop."""
        if len(sent) < THREAD_BYTES:
            return received(sent, settings, field)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, received, sent, settings, field)


def received(sent: str | bytes, settings: Settings, field: str = "image") -> bytes:
    """The checked bytes of an image that was sent as a file or as text."""
    if isinstance(sent, str):
        return decoded(sent, settings, field)
    return checked(sent, settings, field)


def decoded(text: str, settings: Settings, field: str = "image") -> bytes:
    """The checked bytes of an image sent as a ``data:`` URI (RFC 2397) or as bare base64.

    Both alphabets of RFC 4648 are accepted, with or without padding and white space. Raises
    :class:`ValidationFailed` for a URL, a path, or what is not base64, and what :func:`checked`
    raises.
    """
    return read_as_text(text, field, WHAT, lambda raw: checked(raw, settings, field))


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
        raise _oversized(f"{field} is a file with {error}.", field) from None
    except BOMBS:
        raise _too_large(f"{field} has far more pixels", settings, field) from None
    except DECODE_ERRORS:
        raise _unreadable(raw, field) from None
    if max(width, height) > settings.max_image_side:
        message = f"{field} has {width} x {height} pixels; the limit of a side is "
        message += f"{settings.max_image_side}."
        raise _oversized(message, field, limit_side=settings.max_image_side)
    if width * height > settings.max_image_pixels:
        raise _too_large(f"{field} has {width} x {height} pixels", settings, field)
    return raw


def _too_large(what: str, settings: Settings, field: str) -> PayloadTooLarge:
    message = f"{what}; the limit is {settings.max_image_pixels} pixels."
    return _oversized(message, field, limit_pixels=settings.max_image_pixels)


def _oversized(message: str, field: str, **limits: int) -> PayloadTooLarge:
    details = {"field_errors": {field: message}, **limits}
    return PayloadTooLarge(message, field=field, details=details)


def _unreadable(raw: bytes, field: str) -> ValidationFailed | UnsupportedMediaType:
    name = next((name for signature, name in KNOWN if signature.match(raw[:1024])), None)
    able = ", ".join(FORMATS)
    if name is None:
        return ValidationFailed(
            f"{field} is not an image, or its header is damaged. These are read: {able}.",
            field=field,
        )
    message = f"{field} is {name}, which is not read here. These are: {able}."
    return UnsupportedMediaType(message, field=field, details={"field_errors": {field: message}})
