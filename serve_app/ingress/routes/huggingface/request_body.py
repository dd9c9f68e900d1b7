"""The body of a request, a JSON object or the bytes of a file, and types of its fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ValidationError

from serve_app.ingress.errors import UnsupportedMediaType, ValidationFailed
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body, Texts
from serve_app.ingress.validation.json_body import JSON_TYPE

B = TypeVar("B", bound=Body)
Payload: TypeAlias = Mapping[str, Any] | bytes
Inputs: TypeAlias = Texts
BYTES = "application/octet-stream"
FILES = ("image/", "audio/")


class HubOptions(Body):
    """How the hosted API waits and caches; here a request always waits, and nothing is cached."""

    use_cache: bool | None = None
    wait_for_model: bool | None = None


class EmptyParameters(Body):
    """The ``parameters`` of a task that has none."""


def _nothing(value: Any) -> None:
    if value is not None:
        raise ValueError("this cannot be honoured here")


Unserved: TypeAlias = Annotated[None, BeforeValidator(_nothing)]
"""A parameter of the API that nothing here can do."""
NoOptions: TypeAlias = NoEffect[HubOptions | None]
NoParameters: TypeAlias = NoEffect[EmptyParameters | None]


async def payload_of(request: Request) -> Payload:
    """The body, by its content type; without one, as clients send files, by how it begins.

    Raises a 400 for what is no JSON object and a 415 for types that no task takes.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given.startswith(FILES) or given == BYTES:
        return await request.body()
    if JSON_TYPE.fullmatch(given):
        return await _json_object(request)
    if given:
        able = ("application/json", *(f"{kind}*" for kind in FILES))
        message = f"The body must be {', '.join(able)} or {BYTES}, not {given[:100]!r}."
        raise UnsupportedMediaType(message)
    body = await request.body()
    return await _json_object(request) if body.lstrip()[:1] == b"{" else body


def parsed(body: type[B], payload: Mapping[str, Any]) -> B:
    """The payload as a task's body. Raises a 400 that names every field at fault."""
    try:
        return body.model_validate(dict(payload))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise RequestValidationError(
            [{**item, "loc": ("body", *item["loc"])} for item in found]
        ) from None


async def _json_object(request: Request) -> Mapping[str, Any]:
    try:
        content = await request.json()
    except json.JSONDecodeError as error:
        raise ValidationFailed(f"The body is not valid JSON ({error.msg}).", field="body") from None
    if not isinstance(content, dict):
        raise ValidationFailed("The body must be a JSON object.", field="body")
    return content
