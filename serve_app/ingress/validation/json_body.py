"""JSON bodies: parsed within bounds, and refused with the place of the fault."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serve_app.ingress.errors import MAX_FIELD_ERRORS, MAX_NAME_LENGTH, invalid_fields
from serve_app.ingress.validation.bounded_json import MAX_VALUES, TooManyValues, parse
from serve_app.ingress.validation.fields import Body

UNKNOWN_PARAMETER = "this query parameter is not known here"
NOT_FINITE = "expected a finite number"
JSON_TYPE = re.compile(r"application/(?:[\w.\-]+\+)?json", re.IGNORECASE)
UNPARSED = object()


class JsonRequest(Request):
    """A request whose JSON is parsed once, and only if it has at most ``max_values`` values.

    Where the body is no JSON, that is kept as well: FastAPI asks again.
    """

    def __init__(self, request: Request, max_values: int = MAX_VALUES) -> None:
        super().__init__(request.scope, request.receive)
        self._max_values = max_values
        self._value: Any = UNPARSED
        self._error: json.JSONDecodeError | None = None

    async def json(self) -> Any:
        """The body's value.

        Raises ``HTTPException`` for too many values, :class:`ValidationFailed` for a number that is
        NaN or infinite, and ``JSONDecodeError`` for what is no JSON.
        """
        if self._error is not None:
            raise self._error
        if self._value is UNPARSED:
            body = await self.body()
            try:
                self._value = self._parsed(body)
            except TooManyValues as error:
                raise HTTPException(400, f"The JSON body has {error}.") from None
            except ValueError as error:
                self._error = json.JSONDecodeError(str(error), "", 0)
                raise self._error from None
        return self._value

    def _parsed(self, body: bytes) -> Any:
        try:
            return parse(body, self._max_values)
        except TooManyValues:
            raise
        except ValueError:
            value = parse(body, self._max_values, allow_inf_nan=True)
            place = next(_not_finite(value), ("body",))
            raise invalid_fields({".".join(place)[:MAX_NAME_LENGTH]: NOT_FINITE}) from None


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, is ``application/json`` and nothing else. Where the body
    is optional, it may be empty.

    Query parameters are refused where there is a body, apart from those that the route documents:
    their fields belong into it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None
        parameters = get_flat_params(self.dependant)
        documented = {each.alias for each in parameters if isinstance(each.field_info, Query)}
        required = self.body_field is not None and self.body_field.field_info.is_required()
        max_values = _max_values(self)

        async def handle_json(request: Request) -> Response:
            json_request = JsonRequest(request, max_values)
            if takes_body:
                _refuse_query(request, documented)
            if takes_body and (required or await json_request.body()):
                _require_json(request)
                with suppress(json.JSONDecodeError):  # FastAPI parses again, and answers that
                    await json_request.json()
            return await handle(json_request)

        return handle_json


async def no_query(request: Request) -> None:
    """A dependency of routes: refuse query parameters, which would be ignored."""
    _refuse_query(request, frozenset())


def _refuse_query(request: Request, documented: AbstractSet[str]) -> None:
    if request.scope["query_string"]:
        names = [name for name in request.query_params if name not in documented]
        names = names[:MAX_FIELD_ERRORS]
        if names:
            raise invalid_fields({name[:MAX_NAME_LENGTH]: UNKNOWN_PARAMETER for name in names})


def _not_finite(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of numbers that are NaN or infinite. JSON is nested at most 200 levels deep."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place or ("body",)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _not_finite(item, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_finite(item, (*place, str(index)))


def _max_values(route: APIRoute) -> int:
    """The bound of the body's model, which is higher where it has vectors or token ids."""
    model = route.body_field.field_info.annotation if route.body_field else None
    return model.max_values if isinstance(model, type) and issubclass(model, Body) else MAX_VALUES


def _require_json(request: Request) -> None:
    """Refuse other media types, and give a request without one JSON's, as FastAPI expects."""
    given = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not JSON_TYPE.fullmatch(given):
        raise HTTPException(415, f"The body must be application/json, not {given[:100]!r}.")
    if "content-type" not in request.headers:
        request.scope["headers"] = [
            *request.scope["headers"],
            (b"content-type", b"application/json"),
        ]
