"""Types of request fields with their ranges, shared by the bodies of all APIs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from serve_app.ingress.documentation.rules import READABLE, Schema
from serve_app.ingress.validation.bounded_json import MAX_VALUES
from serve_app.ingress.validation.model_rules import (
    as_left_out,
    names_of,
    nullable,
    stop_at_first,
    take_whole_floats,
)

MAX_CHOICES, MAX_STOPS = 16, 16


class Body(BaseModel):
    """A request body, or an object within one. Types are strict, and unknown fields are refused.

    ``null`` for an optional field means that it is left out. An error names the first bad item of a
    list or an object, and the first few unknown fields, so that it does not grow with the request.
    ``max_values`` bounds the values in the lists and objects of a request with this body.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
    max_values: ClassVar[int] = MAX_VALUES
    known: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.known = names_of(cls.model_fields)
        cls.optional = names_of(cls.model_fields, required=False)

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, given: Any) -> Any:
        return as_left_out(given, cls.known, cls.optional) if isinstance(given, dict) else given

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        stop_at_first(schema)
        take_whole_floats(schema)
        return schema

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        shown = handler(schema)
        nullable(handler.resolve_ref_schema(shown), cls.optional)
        return shown


class Answer(BaseModel):
    """Fields of every native answer that is an object, for the documentation. Time in seconds."""

    model: str
    request_id: str
    execution_time: float


def _branch(given: Any) -> str:
    """Whether a text or a list was meant, so that errors of the other one are not reported."""
    return LIST.tag if isinstance(given, list) else TEXT.tag


TEXT, LIST = Tag("str"), Tag("list[]")
TEXT_OR_LIST = Discriminator(_branch)
"""For a union of a text and a list with these tags: only the meant branch reports errors."""


def _text_or_object(given: Any) -> str:
    return OBJECT.tag if isinstance(given, dict) else TEXT.tag


OBJECT = Tag("object[]")
TEXT_OR_OBJECT = Discriminator(_text_or_object)
"""The same for a union of a text and an object."""

TextOrObject: TypeAlias = Annotated[
    Annotated[str, TEXT] | Annotated[dict[str, Any], OBJECT], TEXT_OR_OBJECT
]

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Readable: TypeAlias = Annotated[Text, Field(json_schema_extra=READABLE)]
"""A text that is checked not to be blank."""
ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
LanguageCode: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=40)]
"""A language as the model calls it, or for speech its name in English."""

Stop: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
StopOrNone: TypeAlias = Annotated[str, StringConstraints(max_length=256)]
"""The empty string is no stop string."""

Stops: TypeAlias = Annotated[
    Annotated[StopOrNone, TEXT] | Annotated[list[Stop], Field(max_length=MAX_STOPS), LIST],
    TEXT_OR_LIST,
]
TextList: TypeAlias = Annotated[list[str], Field(min_length=1)]
Single: TypeAlias = Annotated[str, Field(json_schema_extra=READABLE)]
Texts: TypeAlias = Annotated[Annotated[Single, TEXT] | Annotated[TextList, LIST], TEXT_OR_LIST]
Truncate: TypeAlias = Annotated[
    bool, Field(description="cut texts that are too long instead of refusing")
]

BASE64 = r"^\s*(data:[^,]*;base64,[A-Za-z0-9+/=_%\-\s]+|[A-Za-z0-9+/=_\-\s]+)$"
BASE64_OR_URL = BASE64.removesuffix(")$") + r"|[Hh][Tt][Tt][Pp][Ss]?://\S+)$"
FILE_PATTERNS = frozenset({BASE64, BASE64_OR_URL})


def _file_schema(about: str) -> WithJsonSchema:
    text = f"{about}: a data: URI, or bare base64"
    return WithJsonSchema({"type": "string", "pattern": BASE64, "description": text})


def allow_image_url(schema: dict[str, Any]) -> None:
    """Let the schema of a field take an image's URL, if it is the schema of an image."""
    if schema.get("pattern") == BASE64 and "image" in schema.get("description", ""):
        schema["pattern"] = BASE64_OR_URL
        schema["description"] = schema["description"].replace("a data:", "an http(s) URL, a data:")


ImageSent: TypeAlias = Annotated[str | bytes, _file_schema("an image")]
"""Text from JSON, or a file's bytes from a form. ``FileIntake`` turns both into checked bytes."""

AudioSent: TypeAlias = Annotated[str | bytes, _file_schema("an audio file")]
"""The same for a recording, see :mod:`serve_app.ingress.audio`."""

Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, Field(gt=0, le=1)]
TopK: TypeAlias = Annotated[
    int, Field(ge=-1, le=2**31 - 1), AfterValidator(lambda given: max(given, 0))
]
"""0 and -1 mean off."""

MinP: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""0 means off."""

RepetitionPenalty: TypeAlias = Annotated[float, Field(ge=0.001, le=2)]
"""Logits are divided by it: smaller values overflow float32."""

Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Choices: TypeAlias = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenCount: TypeAlias = Count
MinTokens: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
ALL_THAT_FIT = -1
PromptTokenCount: TypeAlias = Annotated[
    Annotated[Literal[-1], Tag("all[]")] | Annotated[TokenCount, Tag("count[]")],
    Discriminator(lambda given: "all[]" if given == ALL_THAT_FIT else "count[]"),
]
"""How many tokens of a prompt are read; -1 means as many as fit."""

TokenId: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
TopLogprobs: TypeAlias = Annotated[int, Field(ge=0, le=20)]
Seed: TypeAlias = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


def example(*rules: Schema, **fields: Any) -> ConfigDict:
    """Model configuration that shows ``fields`` as the example in the OpenAPI document.

    ``rules`` between fields are what the body's validators check in Python.
    """
    return ConfigDict(json_schema_extra={"example": fields, **ruled(*rules)})


def ruled(*rules: Schema) -> Schema:
    """The part of a JSON schema that holds ``rules``."""
    return {"allOf": list(rules)} if rules else {}
