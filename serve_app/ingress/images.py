"""Checks images that clients send, by their header. The pixels are decoded by the models' side."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_to_bytes

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

DATA_URI = re.compile(r"data:(?P<type>[^,]{0,256}),", re.IGNORECASE)
SCHEME = re.compile(r"(?P<name>[a-z][a-z0-9+.\-]{0,20}):", re.IGNORECASE)
PATH = re.compile(r"~?/|\.{1,2}[\\/]|\\|[a-z]:[\\/]|[^\n]+\.[a-z0-9]{2,5}$", re.IGNORECASE)
MAX_PATH_LENGTH = 4096
JPEG_AS_BASE64 = "/9j/"
URL_SAFE = bytes.maketrans(b"-_", b"+/")
WHITE_SPACE = b" \t\r\n\f\v"
SEND = "Send the image itself: its bytes as a multipart file, base64, or a data: URI."

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

QUOTED = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%0A", b"\n"), (b"%0D", b"\r"))
"""Characters that clients percent-encode in the base64 of a ``data:`` URI."""

MAX_QUOTED = 1000
"""Other percent-encoded characters in one image. No client has a reason to send any."""


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
    text = text.strip()
    if text and _is_path(text):
        try:  # it may be base64 all the same, which has "/" too
            return checked(_bytes(text, field), settings, field)
        except ValidationFailed:
            raise _is_a_path(field) from None
    return checked(_bytes(text, field), settings, field)


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


def _bytes(text: str, field: str) -> bytes:
    """The bytes that ``text`` has in base64."""
    payload = _payload(text, field).translate(URL_SAFE, WHITE_SPACE)
    payload += b"=" * (-len(payload) % 4)
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise ValidationFailed(f"{field} is not base64.", field=field) from None


def _payload(text: str, field: str) -> bytes:
    """The base64 in ``text``, perhaps with white space."""
    if uri := DATA_URI.match(text):
        if not uri["type"].lower().rstrip().endswith(";base64"):
            raise ValidationFailed(f"{field} is a data: URI without ;base64.", field=field)
        return _ascii(text[uri.end() :], field, quoted=True)
    scheme = SCHEME.match(text)
    if scheme is None:
        return _ascii(text, field)
    if scheme["name"].lower() == "data":
        raise ValidationFailed(f"{field} is a data: URI without a comma.", field=field)
    raise ValidationFailed(
        f"{field} is a URL, and this server does not fetch images. {SEND}", field=field
    )


def _is_path(text: str) -> bool:
    """Whether ``text`` looks like a file's path. Base64 of an image may look so, too."""
    if len(text) > MAX_PATH_LENGTH or text.startswith(JPEG_AS_BASE64):
        return False
    drive = text[1:2] == ":"
    return PATH.match(text) is not None and (drive or SCHEME.match(text) is None)


def _is_a_path(field: str) -> ValidationFailed:
    return ValidationFailed(
        f"{field} is the path of a file, and this server reads no files by their path. {SEND}",
        field=field,
    )


def _ascii(text: str, field: str, *, quoted: bool = False) -> bytes:
    if not text.isascii():
        raise ValidationFailed(f"{field} is not base64.", field=field)
    raw = text.encode("ascii")
    if not quoted or b"%" not in raw:
        return raw
    for code, sign in QUOTED:  # the standard library would loop over them in Python
        raw = raw.replace(code, sign).replace(code.lower(), sign)
    if raw.count(b"%") > MAX_QUOTED:
        raise ValidationFailed(f"{field} is not base64.", field=field)
    return unquote_to_bytes(raw)


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
