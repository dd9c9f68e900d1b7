"""Bodies with a file: JSON with base64 in it, or a multipart form with the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, Generic, TypeVar, get_origin

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
from serve_app.ingress.validation.limits import check_prompt

B = TypeVar("B", bound=Body)

Texts = dict[str, str | list[str]]
"""The fields of a form and of the query; one that is a list has all of its values."""

MULTIPART = "multipart/form-data"
MAX_FILES = 4
MAX_FIELDS = 96
UTF_8 = frozenset({"utf-8", "utf8"})


@dataclass(frozen=True, slots=True)
class Upload:
    """A file: the name of its part in a form, the field of the body that it becomes, and what it
    is, in words."""

    part: str
    field: str
    about: str


IMAGE_FILE = Upload("image", "image", "an image file")


class UploadBody(Generic[B]):
    """A dependency that reads ``model`` from whichever form the request has.

    The file is a part of a multipart form, or a field of a JSON object. The other fields are beside
    it or in the query string; there and in forms they are text, from which numbers and booleans are
    read, while in JSON they must be what they are. A field that ``model`` does not know, or that is
    given twice and is no list, is an error that names it.
    """

    def __init__(self, model: type[B], upload: Upload) -> None:
        self.model = model
        self._upload = upload
        self._parser = FormParser(model)

    async def __call__(self, request: Request) -> B:
        texts: Texts = {}
        for name, text in request.query_params.multi_items():
            self._parser.add(texts, name, text)
        for name in (self._upload.part, self._upload.field):
            if name in texts:
                raise ValidationFailed(f"{name} belongs in the body.", field=name)
        fields = await _fields(request, texts, self._parser, self._upload)
        body: B = self._parser.validated(fields, texts)
        return body

    def documented(self) -> dict[str, Any]:
        """The OpenAPI description, for ``openapi_extra`` of a route."""
        upload, schema = self._upload, self.model.model_json_schema()
        file = {"type": "string", "format": "binary", "description": upload.about}
        form = {k: v for k, v in schema.items() if k != "example"}
        properties = schema["properties"].items()
        properties = {k: _without_null(v) for k, v in properties if k != upload.field}
        form["properties"] = {**properties, upload.part: file}
        form["required"] = [upload.part if k == upload.field else k for k in schema["required"]]
        content = {MULTIPART: {"schema": form}, "application/json": {"schema": schema}}
        return {"requestBody": {"required": True, "content": content}}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a field in a form, which has no null: such a field is left out."""
    branches = [each for each in field.get("anyOf", ()) if each != {"type": "null"}]
    rest = {k: v for k, v in field.items() if k != "anyOf"}
    if len(branches) < 2:
        return {**(branches or [{}])[0], **rest}
    return {"anyOf": branches, **rest}


class FormParser:
    """Parses form and query values as a model's fields, and validates the whole body."""

    def __init__(self, model: type[Any]) -> None:
        self._model = model
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        self._types = {
            name: TypeAdapter[Any](field.rebuild_annotation()) for name, field in fields.items()
        }
        self._lists = {
            name for name, field in fields.items() if get_origin(field.annotation) is list
        }

    def add(self, texts: Texts, name: str, text: str) -> None:
        """Add a value to ``texts``. Raises for a second one of a field that is no list."""
        if name in self._lists:
            values = texts.setdefault(name, [])
            assert isinstance(values, list)
            values.append(text)
        elif name in texts:
            raise _given_twice(name)
        else:
            texts[name] = text

    def validated(self, fields: Any, texts: Mapping[str, str | list[str]]) -> Any:
        """Raises ``RequestValidationError`` as FastAPI does for its own bodies."""
        try:
            if isinstance(fields, dict):
                fields = {**fields, **{name: self._read(name, texts[name]) for name in texts}}
            return self._model.model_validate(fields)
        except ValidationError as error:
            raise _invalid(error) from None

    def _read(self, name: str, text: str | list[str]) -> Any:
        adapter = self._types.get(name)
        if adapter is None:
            return text  # the model refuses it as unknown
        try:
            if isinstance(text, list):  # of texts; pydantic reads no lists out of strings
                return adapter.validate_python(text)
            return adapter.validate_strings(text)
        except ValidationError as error:
            raise _invalid(error, name) from None


async def _fields(request: Request, texts: Texts, parser: FormParser, upload: Upload) -> Any:
    """The fields of a JSON body, or a form's file. Texts of a form are added to ``texts``."""
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if JSON_TYPE.fullmatch(content_type):
        fields = await _json(request)
        twice = [name for name in fields if name in texts] if isinstance(fields, dict) else []
        if twice:
            raise _given_twice(twice[0])
        return fields
    if content_type.lower() == MULTIPART:
        return await _form(request, texts, parser, upload)
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


async def _form(
    request: Request, texts: Texts, parser: FormParser, upload: Upload
) -> dict[str, Any]:
    """The form's one file; its texts are added to ``texts``. Their number and sizes are bounded.

    A text that is too long is read nevertheless, so that the error can name its field: all of them
    are no larger than the body. python-multipart bounds the number and the length of a part's
    headers.
    """
    _require_utf_8(request.headers["content-type"])
    services: Services = request.app.state.services
    settings = services.settings
    files: dict[str, Any] = {}
    async with request.form(
        max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=settings.max_body_bytes
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) != (name == upload.part):
                raise _misplaced(name, upload)
            if not isinstance(value, UploadFile):
                check_prompt(value, settings, name[:100])
                parser.add(texts, name, value)
            elif upload.field in files:
                raise _given_twice(name)
            else:
                files[upload.field] = await value.read()
    return files


def _require_utf_8(content_type: str) -> None:
    """Refuse other charsets: Starlette would decode with any codec of Python that a client names.

    Some codecs take quadratic time, others raise unexpected errors.
    """
    _, parameters = parse_options_header(content_type)
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in UTF_8:
        raise HTTPException(415, f"A form's charset must be utf-8, not {charset[:100]!r}.")


def _misplaced(name: str, upload: Upload) -> ValidationFailed:
    part = upload.part
    if name == part:
        message = f"{part} must be a file of the form (with curl: -F {part}=@FILE)."
        return ValidationFailed(message, field=part)
    return ValidationFailed(f"{name[:100]} is a file; only {part} may be one.", field=name[:100])


def _given_twice(name: str) -> ValidationFailed:
    return ValidationFailed(f"{name[:100]} is given twice.", field=name[:100])


def _invalid(error: ValidationError, *place: str) -> RequestValidationError:
    details = error.errors(include_url=False)
    return RequestValidationError(
        [{**item, "loc": ("body", *place, *item["loc"])} for item in details]
    )
