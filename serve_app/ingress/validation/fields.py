"""Types of request fields and their ranges, the same on every surface."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeAlias

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
from serve_app.ingress.validation.model_rules import as_left_out, names_of, nullable, stop_at_first


class Body(BaseModel):
    """A request body, or an object within one: strict types, and an unknown field is an error.

    ``null`` for a field that may be left out is the same as leaving it out. Errors do not grow with
    the request: of a list or an object the first bad item is named, of unknown fields the first
    few. ``max_values`` is how many values a request with this body may hold in its lists
    and objects.
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
        return schema

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        shown = handler(schema)
        nullable(handler.resolve_ref_schema(shown), cls.optional)
        return shown


class Answer(BaseModel):
    """What every native object answer carries, for the documentation. Time is in seconds."""

    model: str
    request_id: str
    execution_time: float


def _branch(given: Any) -> str:
    """Which of text and list was meant, so that the other one's errors are not reported."""
    return LIST.tag if isinstance(given, list) else TEXT.tag


TEXT, LIST = Tag("str"), Tag("list[]")
TEXT_OR_LIST = Discriminator(_branch)
"""Of a union of a text and a list, tagged so, only the branch that was meant names its errors."""


def _text_or_object(given: Any) -> str:
    return OBJECT.tag if isinstance(given, dict) else TEXT.tag


OBJECT = Tag("object[]")
TEXT_OR_OBJECT = Discriminator(_text_or_object)
"""The same of a union of a text and an object."""

TextOrObject: TypeAlias = Annotated[
    Annotated[str, TEXT] | Annotated[dict[str, Any], OBJECT], TEXT_OR_OBJECT
]

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Readable: TypeAlias = Annotated[Text, Field(json_schema_extra=READABLE)]
"""A text that is checked to have something in it to read."""
ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Stop: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops: TypeAlias = Annotated[
    Annotated[Stop, TEXT] | Annotated[list[Stop], Field(max_length=16), LIST], TEXT_OR_LIST
]
TextList: TypeAlias = Annotated[list[str], Field(min_length=1)]
Single: TypeAlias = Annotated[str, Field(json_schema_extra=READABLE)]
Texts: TypeAlias = Annotated[Annotated[Single, TEXT] | Annotated[TextList, LIST], TEXT_OR_LIST]
Truncate: TypeAlias = Annotated[
    bool, Field(description="cut texts that are too long instead of refusing")
]

ImageSent: TypeAlias = Annotated[
    str | bytes,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*(data:[^,]*;base64,[A-Za-z0-9+/=_%\-\s]+|[A-Za-z0-9+/=_\-\s]+)$",
            "description": "an image: a data: URI, or bare base64",
        }
    ),
]
"""Text from JSON, a file's bytes from a form; ``ImageIntake`` makes checked bytes of both."""

Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, Field(gt=0, le=1)]
TopK: TypeAlias = Annotated[
    int, Field(ge=-1, le=2**31 - 1), AfterValidator(lambda given: max(given, 0))
]
"""0 and -1 are off."""

RepetitionPenalty: TypeAlias = Annotated[float, Field(ge=0.001, le=2)]
"""Logits are divided by it: smaller values overflow float32."""

Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Choices: TypeAlias = Annotated[int, Field(ge=1, le=16)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenCount: TypeAlias = Count
TokenId: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
TopLogprobs: TypeAlias = Annotated[int, Field(ge=0, le=20)]
Seed: TypeAlias = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


def example(*rules: Schema, **fields: Any) -> ConfigDict:
    """Model configuration that shows ``fields`` as the example in the OpenAPI document.

    ``rules`` between fields are what the body's validators check in Python.
    """
    return ConfigDict(json_schema_extra={"example": fields, **ruled(*rules)})


def ruled(*rules: Schema) -> Schema:
    """What ``rules`` add to a JSON schema."""
    return {"allOf": list(rules)} if rules else {}
