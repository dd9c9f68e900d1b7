"""``response_format``: text, any JSON object, or an instance of a JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from deployments.seam.generation import Grammar
from serve_app.ingress.documentation.rules import NULL, OBJECT, when
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body, ruled
from serve_app.ingress.validation.schema_text import SchemaText

SchemaName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class JsonSchema(Body):
    """A schema by name. It is always enforced, whether ``strict`` or not."""

    name: NoEffect[SchemaName]
    description: NoEffect[str | None] = None
    definition: dict[str, Any] | None = Field(None, alias="schema")
    strict: NoEffect[bool | None] = None


BY_SCHEMA = {"const": "json_schema"}
RULES = (
    when({"type": BY_SCHEMA}, needs={"json_schema": OBJECT}),
    when({"type": {"not": BY_SCHEMA}}, allows={"json_schema": NULL}),
)


class ResponseFormat(Body):
    model_config = ConfigDict(json_schema_extra=ruled(*RULES))

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _coherent(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type json_schema, and only then")
        return self

    def grammar(self, schemas: SchemaText) -> Grammar | None:
        """The grammar that constrains the text.

        Hugging Face's clients send the schema as the ``value``.
        """
        if self.type == "text":
            return None
        if self.json_schema is None or self.json_schema.definition is None:
            return Grammar("json")
        here = ("response_format", "json_schema", "schema")
        source = schemas.of(self.json_schema.definition, here, ("response_format", "value"))
        return Grammar("json_schema", source)
