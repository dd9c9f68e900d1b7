"""Types of request fields and their ranges, the same on every surface."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails

from serve_app.documentation.rules import READABLE, Schema
from serve_app.errors import MOST_ERRORS


class Body(BaseModel):
    """A request body: strict types, and a field that it does not know is an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Answer(BaseModel):
    """What every native object answer carries, for the documentation. Time is in seconds."""

    model: str
    request_id: str
    execution_time: float


def _only_texts(items: Any) -> Any:
    """Names the items that are no texts, but not all of a million: the first ones are enough."""
    if isinstance(items, list):
        bad = (index for index, item in enumerate(items) if not isinstance(item, str))
        errors = [
            InitErrorDetails(type="string_type", loc=(index,), input=items[index])
            for index in islice(bad, MOST_ERRORS)
        ]
        if errors:
            raise ValidationError.from_exception_data("texts", errors)
    return items


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

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Readable: TypeAlias = Annotated[Text, Field(json_schema_extra=READABLE)]
"""A text that is checked to have something in it to read."""
ModelName: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Stop: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops: TypeAlias = Annotated[
    Annotated[Stop, TEXT] | Annotated[list[Stop], Field(max_length=16), LIST], TEXT_OR_LIST
]
TextList: TypeAlias = Annotated[list[str], Field(min_length=1), BeforeValidator(_only_texts)]
Single: TypeAlias = Annotated[str, Field(json_schema_extra=READABLE)]
Texts: TypeAlias = Annotated[Annotated[Single, TEXT] | Annotated[TextList, LIST], TEXT_OR_LIST]

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
"""Text from JSON, a file's bytes from a form; ``images.received`` makes checked bytes of both."""

Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, Field(gt=0, le=1)]
TopK: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
RepetitionPenalty: TypeAlias = Annotated[float, Field(ge=0.001, le=2)]
"""Logits are divided by it: smaller values overflow float32."""

Penalty: TypeAlias = Annotated[float, Field(ge=-2, le=2)]
Choices: TypeAlias = Annotated[int, Field(ge=1, le=16)]
TokenCount: TypeAlias = Annotated[int, Field(ge=1, le=2**31 - 1)]
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
