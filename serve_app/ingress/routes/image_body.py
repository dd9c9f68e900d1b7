"""Bodies with an image: JSON with base64 in it, or a multipart form with a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from json import JSONDecodeError
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import Services
from serve_app.ingress.validation.fields import Body
from serve_app.ingress.validation.json_body import JSON_TYPE

B = TypeVar("B", bound=Body)

IMAGE = "image"
MULTIPART = "multipart/form-data"
MAX_FILES = 4
MAX_FIELDS = 32
UTF_8 = frozenset({"utf-8", "utf8"})


def image_body(model: type[B]) -> Callable[[Request], Awaitable[B]]:
    """A dependency that reads ``model`` from whichever form the request has.

    The image is the file ``image`` of a multipart form, or ``image`` of a JSON object. The other
    fields are beside it or in the query string; there and in forms they are text, from which
    numbers and booleans are read, while in JSON they must be what they are. A field that ``model``
    does not know, or that is given twice, is an error that names it.
    """
    parser = FormParser(model)

    async def read(request: Request) -> B:
        texts = _each_once(request.query_params.multi_items())
        if IMAGE in texts:
            raise ValidationFailed("image belongs in the body.", field=IMAGE)
        fields = await _fields(request, texts)
        body: B = parser.validated(fields, texts)
        return body

    return read


def documented(model: type[Body]) -> dict[str, Any]:
    """The OpenAPI description of such a body, for ``openapi_extra`` of its route."""
    schema = model.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "an image file"}
    form = {k: v for k, v in schema.items() if k != "example"}
    form["properties"] = {**schema["properties"], IMAGE: file}
    content = {MULTIPART: {"schema": form}, "application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


class FormParser:
    """Parses form and query values as a model's fields, and validates the whole body."""

    def __init__(self, model: type[Any]) -> None:
        self._model = model
        self._types = {
            name: TypeAdapter[Any](field.rebuild_annotation())
            for name, field in model.model_fields.items()
        }

    def validated(self, fields: Any, texts: Mapping[str, str]) -> Any:
        """Raises ``RequestValidationError`` as FastAPI does for its own bodies."""
        try:
            if isinstance(fields, dict):
                fields = {**fields, **{name: self._read(name, texts[name]) for name in texts}}
            return self._model.model_validate(fields)
        except ValidationError as error:
            raise _invalid(error) from None

    def _read(self, name: str, text: str) -> Any:
        adapter = self._types.get(name)
        if adapter is None:
            return text  # the model refuses it as unknown
        try:
            return adapter.validate_strings(text)
        except ValidationError as error:
            raise _invalid(error, name) from None


async def _fields(request: Request, texts: dict[str, str]) -> Any:
    """The fields of a JSON body, or a form's file. Texts of a form are added to ``texts``."""
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if JSON_TYPE.fullmatch(content_type):
        fields = await _json(request)
        twice = [name for name in fields if name in texts] if isinstance(fields, dict) else []
        if twice:
            raise _given_twice(twice[0])
        return fields
    if content_type.lower() == MULTIPART:
        return await _form(request, texts)
    raise HTTPException(
        415, f"The body must be {MULTIPART} or application/json, not {content_type[:100]!r}."
    )


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except JSONDecodeError as error:
        place = ("body", error.pos)
        unreadable = {"type": "json_invalid", "loc": place, "ctx": {"error": error.msg}}
        raise RequestValidationError([unreadable]) from None


async def _form(request: Request, texts: dict[str, str]) -> dict[str, Any]:
    """The form's one file; its texts are added to ``texts``. Their number and sizes are bounded.

    python-multipart bounds how many headers a part may have, and how long they may be.
    """
    _require_utf_8(request.headers["content-type"])
    services: Services = request.app.state.services
    largest = services.settings.max_prompt_bytes + 1
    files: dict[str, Any] = {}
    async with request.form(
        max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=largest
    ) as form:
        for name, value in form.multi_items():
            if name in files or name in texts:
                raise _given_twice(name)
            if isinstance(value, UploadFile) != (name == IMAGE):
                raise _misplaced(name)
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                texts[name] = value
    return files


def _require_utf_8(content_type: str) -> None:
    """Refuse other charsets: Starlette would decode with any codec of Python that a client names.

    Some codecs take quadratic time, others raise unexpected errors.
    """
    _, parameters = parse_options_header(content_type)
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in UTF_8:
        raise HTTPException(415, f"A form's charset must be utf-8, not {charset[:100]!r}.")


def _misplaced(name: str) -> ValidationFailed:
    if name == IMAGE:
        message = "image must be a file of the form (with curl: -F image=@photo.jpg)."
        return ValidationFailed(message, field=IMAGE)
    return ValidationFailed(f"{name[:100]} is a file; only image may be one.", field=name[:100])


def _each_once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    once: dict[str, str] = {}
    for name, text in pairs:
        if name in once:
            raise _given_twice(name)
        once[name] = text
    return once


def _given_twice(name: str) -> ValidationFailed:
    return ValidationFailed(f"{name[:100]} is given twice.", field=name[:100])


def _invalid(error: ValidationError, *place: str) -> RequestValidationError:
    details = error.errors(include_url=False)
    return RequestValidationError(
        [{**item, "loc": ("body", *place, *item["loc"])} for item in details]
    )
