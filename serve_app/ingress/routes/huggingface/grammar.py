"""The grammar that a text has to match, as TGI takes it (``GrammarType`` of its router)."""

from __future__ import annotations

from typing import Any, Literal

from deployments.seam.generation import Grammar
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.bounded_json import parse
from serve_app.ingress.validation.fields import Body
from serve_app.ingress.validation.schema_text import SchemaText

FIELD = "parameters.grammar"


class GrammarBody(Body):
    """A JSON schema, as an object or as its text, or a regular expression."""

    type: Literal["json", "json_schema", "regex"]
    value: Any

    @property
    def capability(self) -> str:
        """The capability that an engine needs for it."""
        return "regex" if self.type == "regex" else "response_format"

    def grammar(self, schemas: SchemaText) -> Grammar:
        """The grammar for the model side. Raises for a value that is no schema or no expression."""
        if self.type == "regex":
            if not isinstance(self.value, str) or not self.value:
                raise ValidationFailed("The value must be an expression.", field=f"{FIELD}.value")
            return Grammar("regex", self.value)
        value = self.value
        here: tuple[str, ...] = ("parameters", "grammar", "value")
        if self.type == "json_schema" and isinstance(value, dict) and "schema" in value:
            value, here = value["schema"], (*here, "schema")  # OpenAI's wrapping, which TGI takes
        if isinstance(value, str) and _is_object(value):
            return Grammar("json_schema", value)
        if not isinstance(value, dict):
            raise ValidationFailed("The value must be a JSON schema.", field=f"{FIELD}.value")
        return Grammar("json_schema", schemas.of(value, here))


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse(text), dict)
    except ValueError:
        return False
