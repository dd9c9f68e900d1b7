"""Files that clients send as text: bare base64, or a ``data:`` URI (RFC 2397).

Paths get an error of their own: this server does not read its own files. So do URLs, where
:mod:`serve_app.ingress.image_urls` has not fetched the file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from serve_app.ingress.errors import ValidationFailed

DATA_URI = re.compile(r"data:(?P<type>[^,]{0,256}),", re.IGNORECASE)
SCHEME = re.compile(r"(?P<name>[a-z][a-z0-9+.\-]{0,20}):", re.IGNORECASE)
PATH = re.compile(r"~?/|\.{1,2}[\\/]|\\|[a-z]:[\\/]|[^\n]+\.[a-z0-9]{2,5}$", re.IGNORECASE)
MAX_PATH_LENGTH = 4096
JPEG_AS_BASE64 = "/9j/"
URL_SAFE = bytes.maketrans(b"-_", b"+/")
WHITE_SPACE = b" \t\r\n\f\v"

QUOTED = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="), (b"%0A", b"\n"), (b"%0D", b"\r"))
"""Characters that clients percent-encode in the base64 of a ``data:`` URI."""

MAX_QUOTED = 1000
"""Other percent-encoded characters in one file. No client has a reason to send any."""


def read_as_text(text: str, field: str, what: str, checked: Callable[[bytes], bytes]) -> bytes:
    """The bytes of a file, as ``checked`` gives them; ``what`` names such a file, as in "image".

    Both alphabets of RFC 4648 are accepted, with or without padding and white space. Raises
    :class:`ValidationFailed` for a URL, a path, or what is not base64, and what ``checked`` raises.
    """
    text = text.strip()
    if text and _is_path(text):
        try:  # it may be base64 all the same, which has "/" too
            return checked(_bytes(text, field, what))
        except ValidationFailed:
            raise _is_a_path(field, what) from None
    return checked(_bytes(text, field, what))


def is_url(sent: str | bytes) -> bool:
    """Whether a file is named by a URL, of whatever scheme but ``data:``."""
    if isinstance(sent, bytes):
        return False
    scheme = SCHEME.match(sent[:MAX_PATH_LENGTH].lstrip())
    return scheme is not None and len(scheme["name"]) > 1 and scheme["name"].lower() != "data"


def _bytes(text: str, field: str, what: str) -> bytes:
    """The bytes that ``text`` has in base64."""
    payload = _payload(text, field, what).translate(URL_SAFE, WHITE_SPACE)
    payload += b"=" * (-len(payload) % 4)
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise ValidationFailed(f"{field} is not base64.", field=field) from None


def _payload(text: str, field: str, what: str) -> bytes:
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
        f"{field} is a URL, and this server does not fetch {what}s. {_send(what)}", field=field
    )


def _is_path(text: str) -> bool:
    """Whether ``text`` looks like a file's path. The base64 of a file may look so, too."""
    if len(text) > MAX_PATH_LENGTH or text.startswith(JPEG_AS_BASE64):
        return False
    drive = text[1:2] == ":"
    return PATH.match(text) is not None and (drive or SCHEME.match(text) is None)


def _is_a_path(field: str, what: str) -> ValidationFailed:
    return ValidationFailed(
        f"{field} is the path of a file, and this server reads no files by their path. "
        f"{_send(what)}",
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


def _send(what: str) -> str:
    return f"Send the {what} itself: its bytes as a multipart file, base64, or a data: URI."
