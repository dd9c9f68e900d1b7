"""What a text has to be, in the words of TGI (``GrammarType`` of its router)."""

from __future__ import annotations

import json
from typing import Any, Literal

from deployments.seam import Grammar
from serve_app.errors import ValidationFailed
from serve_app.fields import Body
from serve_app.parsing import parse

FIELD = "parameters.grammar"


class GrammarBody(Body):
    """A JSON schema, as an object or as its text, or a regular expression."""

    type: Literal["json", "json_schema", "regex"]
    value: Any

    @property
    def capability(self) -> str:
        """What an engine must be able to do for it."""
        return "regex" if self.type == "regex" else "response_format"

    def grammar(self) -> Grammar:
        """The seam's word for it. Raises for a value that is no schema or no expression."""
        if self.type == "regex":
            if not isinstance(self.value, str) or not self.value:
                raise ValidationFailed("The value must be an expression.", field=f"{FIELD}.value")
            return Grammar("regex", self.value)
        return Grammar("json_schema", json.dumps(self._schema()))

    def _schema(self) -> dict[str, Any]:
        value = self.value
        if self.type == "json_schema" and isinstance(value, dict) and "schema" in value:
            value = value["schema"]  # OpenAI's wrapping, which TGI takes under this type
        if isinstance(value, str):
            try:
                value = parse(value)
            except ValueError:
                value = None
        if not isinstance(value, dict):
            raise ValidationFailed("The value must be a JSON schema.", field=f"{FIELD}.value")
        return value
