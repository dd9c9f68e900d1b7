"""The grammar that a text has to match, as TGI takes it (``GrammarType`` of its router)."""

from __future__ import annotations

from typing import Any, Literal

from deployments.seam.generation import Grammar
from serve_app.ingress.routes.grammars import json_grammar, regex_grammar
from serve_app.ingress.validation.fields import Body
from serve_app.ingress.validation.schema_text import SchemaText

FIELD = "parameters.grammar.value"


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
            return regex_grammar(self.value, FIELD)
        value = self.value
        here: tuple[str, ...] = ("parameters", "grammar", "value")
        if self.type == "json_schema" and isinstance(value, dict) and "schema" in value:
            value, here = value["schema"], (*here, "schema")  # OpenAI's wrapping, which TGI takes
        return json_grammar(value, schemas, here, FIELD)
