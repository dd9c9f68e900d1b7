"""The playground's page, and the style and modules that it loads. All are files of this package."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from string import Template

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve_app.ingress.errors import NotFound

router = APIRouter(include_in_schema=False)

PATH = "/playground"
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript"}
NAME = re.compile(r"[a-z_]{1,64}\.(?P<kind>css|js)")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
"""Content-Security-Policy: nothing inline, nothing from other servers, and no text becomes HTML."""


def page(**parts: str) -> str:
    """The page's HTML. ``parts`` are its placeholders, as HTML that is escaped already."""
    return Template(_asset("page.html").decode()).substitute(parts)


@router.get(f"{PATH}/{{name}}")
async def file(name: str, request: Request) -> Response:
    """A style or module. Browsers ask each time whether theirs is current: names have no version,
    since modules import each other by name."""
    found = NAME.fullmatch(name)
    if found is None:
        raise NotFound("There is no such file.")
    try:
        content = _asset(name)
    except FileNotFoundError:
        raise NotFound("There is no such file.") from None
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
    if tag in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=MEDIA_TYPES[found["kind"]])


def _asset(name: str) -> bytes:
    return (files(__package__) / "assets" / name).read_bytes()


def _tags(header: str) -> set[str]:
    """The entity tags of ``If-None-Match``, compared weakly (RFC 9110, 13.1.2)."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
