"""JSON bodies, parsed strictly: bounded in depth and in values, errors with a position."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope

from serve_app.ingress.errors import MAX_FIELD_ERRORS, MAX_NAME_LENGTH, invalid_fields
from serve_app.ingress.validation.bounded_json import MAX_VALUES, TooManyValues, parse
from serve_app.ingress.validation.fields import Body

UNKNOWN = "this query parameter is not known here"
JSON_TYPE = re.compile(r"application/(?:[\w.\-]+\+)?json", re.IGNORECASE)


class JsonRequest(Request):
    """A request whose JSON is parsed only if it holds at most ``max_values`` values.

    NaN and infinity are let through here, so that the validation of the field that holds one names
    it; nothing that this service takes allows them.
    """

    def __init__(self, scope: Scope, receive: Receive, max_values: int = MAX_VALUES) -> None:
        super().__init__(scope, receive)
        self._max_values = max_values

    async def json(self) -> Any:
        try:
            return parse(await self.body(), self._max_values, allow_inf_nan=True)
        except TooManyValues as error:
            raise HTTPException(400, f"The JSON body has {error}.") from None
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None


class JsonRoute(APIRoute):
    """A route that takes ``application/json`` and nothing else as its body.

    A query parameter beside that is refused: its field belongs in the body.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None
        max_values = _max_values(self)

        async def strict(request: Request) -> Response:
            if takes_body:
                await no_query(request)
                await _require_json(request)
            return await handle(JsonRequest(request.scope, request.receive, max_values))

        return strict


async def no_query(request: Request) -> None:
    """Refuse every query parameter, by name: it would be ignored. Also a dependency of routes."""
    if request.scope["query_string"]:
        names = list(request.query_params)[:MAX_FIELD_ERRORS]
        if names:
            raise invalid_fields({name[:MAX_NAME_LENGTH]: UNKNOWN for name in names})


def _max_values(route: APIRoute) -> int:
    """The bound that the body's model sets, which one with vectors or token ids does."""
    model = route.body_field.field_info.annotation if route.body_field else None
    return model.max_values if isinstance(model, type) and issubclass(model, Body) else MAX_VALUES


async def _require_json(request: Request) -> None:
    given = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not JSON_TYPE.fullmatch(given):
        raise HTTPException(415, f"The body must be application/json, not {given[:100]!r}.")
    if "content-type" not in request.headers:
        request.scope["headers"] = [
            *request.scope["headers"],
            (b"content-type", b"application/json"),
        ]
