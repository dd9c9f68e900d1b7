"""The pages ``/docs`` and ``/redoc``. Their scripts and styles come from this package."""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import Response

from serve_app.ingress.errors import NotFound

router = APIRouter(include_in_schema=False)

ASSETS = "/docs/assets"
OPENAPI = "/openapi.json"
NO_ICON = "data:,"
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: a page may load nothing from other servers."""


class Asset(NamedTuple):
    """A file of this package, stored compressed as it is sent. Its name has its version."""

    name: str
    media_type: str

    def compressed(self) -> bytes:
        return (files(__package__) / "assets" / f"{self.name}.gz").read_bytes()


SWAGGER = Asset("swagger-ui-5.35.0.js", "text/javascript")
SWAGGER_STYLE = Asset("swagger-ui-5.35.0.css", "text/css")
REDOC = Asset("redoc-2.5.3.js", "text/javascript")
BY_NAME = {asset.name: asset for asset in (SWAGGER, SWAGGER_STYLE, REDOC)}


@router.get("/docs")
async def swagger_ui(request: Request) -> Response:
    """The OpenAPI document in Swagger UI, which can also send requests."""
    root = _root(request)
    return _protected(
        get_swagger_ui_html(
            openapi_url=root + OPENAPI,
            title=f"{request.app.title} - Swagger UI",
            swagger_js_url=f"{root}{ASSETS}/{SWAGGER.name}",
            swagger_css_url=f"{root}{ASSETS}/{SWAGGER_STYLE.name}",
            swagger_favicon_url=NO_ICON,
        )
    )


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """The OpenAPI document in Redoc, to read."""
    root = _root(request)
    title = f"{request.app.title} - ReDoc"
    script = f"{root}{ASSETS}/{REDOC.name}"
    return _protected(
        get_redoc_html(
            openapi_url=root + OPENAPI,
            title=title,
            redoc_js_url=script,
            redoc_favicon_url=NO_ICON,
            with_google_fonts=False,
        )
    )


@router.get(f"{ASSETS}/{{name}}")
async def asset(name: str, request: Request) -> Response:
    """A script or style of the pages. Its name changes with its content, so it may be cached."""
    found = BY_NAME.get(name)
    if found is None:
        raise NotFound("There is no such file.")
    content = found.compressed()
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, headers=headers, media_type=found.media_type)


def _protected(page: Response) -> Response:
    page.headers["Content-Security-Policy"] = POLICY
    return page


def _root(request: Request) -> str:
    """The path prefix at which the application is served, if any."""
    return str(request.scope.get("root_path", "")).rstrip("/")
