"""Constrained decoding by the fields of vLLM's clients: ``structured_outputs``, ``guided_json`` …

They do what ``response_format`` does, and more kinds of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from deployments.seam.generation import Grammar
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.grammars import choice_grammar, json_grammar, regex_grammar
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import OBJECT, TEXT, TEXT_OR_OBJECT, Body
from serve_app.ingress.validation.schema_text import SchemaText

MAX_CHOICES = 1024
MAX_CHARACTERS = 32 * 1024
"""The model side takes no longer grammars."""


def _short(choices: list[str]) -> list[str]:
    if sum(map(len, choices)) > MAX_CHARACTERS:
        raise ValueError(f"expected at most {MAX_CHARACTERS} characters together")
    return choices


Expression = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]
TextChoices = Annotated[
    list[Expression], Field(min_length=1, max_length=MAX_CHOICES), AfterValidator(_short)
]
Schema = Annotated[Annotated[Expression, TEXT] | Annotated[dict[str, Any], OBJECT], TEXT_OR_OBJECT]


@dataclass(frozen=True, slots=True)
class GuidedOutput:
    """One constraint, and the ``place`` of its field in the body."""

    kind: Literal["json", "json_object", "regex", "choice"]
    value: Any
    place: tuple[str, ...]

    @property
    def field(self) -> str:
        return ".".join(self.place)

    @property
    def capability(self) -> str:
        """The capability that an engine needs for it."""
        return "regex" if self.kind in ("regex", "choice") else "response_format"

    def grammar(self, schemas: SchemaText) -> Grammar:
        """The grammar for the model side. Raises :class:`ValidationFailed` for no schema."""
        match self.kind:
            case "json":
                return json_grammar(self.value, schemas, self.place, self.field)
            case "json_object":
                return Grammar("json")
            case "regex":
                return regex_grammar(self.value, self.field)
            case "choice":
                return choice_grammar(self.value)


class StructuredOutputs(Body):
    """One of its fields is given. White space in JSON is always fixed here."""

    definition: Schema | None = Field(None, alias="json")
    regex: Expression | None = None
    choice: TextChoices | None = None
    json_object: bool | None = None
    disable_any_whitespace: NoEffect[bool | None] = None
    disable_fallback: NoEffect[bool | None] = None

    def given(self) -> Iterator[GuidedOutput]:
        here = "structured_outputs"
        if self.definition is not None:
            yield GuidedOutput("json", self.definition, (here, "json"))
        if self.regex is not None:
            yield GuidedOutput("regex", self.regex, (here, "regex"))
        if self.choice is not None:
            yield GuidedOutput("choice", self.choice, (here, "choice"))
        if self.json_object:
            yield GuidedOutput("json_object", True, (here, "json_object"))


class GuidedBody(Body):
    """The fields of constrained decoding. The ``guided_`` ones are vLLM's older names."""

    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | None = Field(None, description="a JSON schema")
    guided_regex: Expression | None = None
    guided_choice: TextChoices | None = None

    @property
    def guided(self) -> GuidedOutput | None:
        """The constraint, if one is given. Raises :class:`ValidationFailed` for two."""
        found = list(self._given())
        if len(found) > 1:
            message = f"{found[1].field} and {found[0].field} exclude each other."
            raise ValidationFailed(message, field=found[1].field)
        return found[0] if found else None

    def _given(self) -> Iterator[GuidedOutput]:
        if self.structured_outputs is not None:
            yield from self.structured_outputs.given()
        if self.guided_json is not None:
            yield GuidedOutput("json", self.guided_json, ("guided_json",))
        if self.guided_regex is not None:
            yield GuidedOutput("regex", self.guided_regex, ("guided_regex",))
        if self.guided_choice is not None:
            yield GuidedOutput("choice", self.guided_choice, ("guided_choice",))
