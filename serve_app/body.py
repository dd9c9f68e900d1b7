"""JSON bodies, parsed strictly: bounded in depth and in fields, errors with a position."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serve_app.errors import MOST_ERRORS, MOST_OF_A_NAME, invalid

UNKNOWN = "this query parameter is not known here"
JSON_TYPE = re.compile(r"application/(?:[\w.\-]+\+)?json", re.IGNORECASE)
MOST_FIELDS = 100


class JsonRequest(Request):
    """A request whose JSON is read by pydantic's parser, which bounds nesting at 200 levels.

    NaN and infinity are let through here, so that the field that holds one is named by its own
    validation; nothing that this service takes allows them.
    """

    async def json(self) -> Any:
        try:
            parsed = from_json(await self.body(), allow_inf_nan=True)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None
        if isinstance(parsed, dict) and len(parsed) > MOST_FIELDS:
            raise HTTPException(400, f"The body has {len(parsed)} fields; no route knows as many.")
        return parsed


class JsonRoute(APIRoute):
    """A route that takes ``application/json`` and nothing else as its body.

    A query parameter beside that is refused: its field belongs in the body.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_body:
                await no_query(request)
                await _require_json(request)
            return await handle(JsonRequest(request.scope, request.receive))

        return strict


async def no_query(request: Request) -> None:
    """Refuse every query parameter, by name: it would be ignored. Also a dependency of routes."""
    if request.scope["query_string"]:
        names = list(request.query_params)[:MOST_ERRORS]
        if names:
            raise invalid({name[:MOST_OF_A_NAME]: UNKNOWN for name in names})


async def _require_json(request: Request) -> None:
    given = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not JSON_TYPE.fullmatch(given):
        raise HTTPException(415, f"The body must be application/json, not {given[:100]!r}.")
    if "content-type" not in request.headers:
        request.scope["headers"] = [
            *request.scope["headers"],
            (b"content-type", b"application/json"),
        ]
