"""Grammars of constrained decoding from what clients send: a schema, an expression, or choices."""

from __future__ import annotations

import re
from typing import Any

from deployments.seam.generation import Grammar
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.validation.bounded_json import parse
from serve_app.ingress.validation.schema_text import SchemaText

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&~-]")
"""Characters that mean something in a regular expression. Not by ``re.escape``, which also escapes
characters that llguidance takes no escape of."""


def json_grammar(
    value: Any, schemas: SchemaText, place: tuple[str | int, ...], field: str
) -> Grammar:
    """The grammar of a JSON schema, given as an object or as its text.

    The object is at ``place`` of the request's body. Raises :class:`ValidationFailed`, which names
    ``field``, for what is no schema.
    """
    if isinstance(value, str) and _is_object(value):
        return Grammar("json_schema", value)
    if not isinstance(value, dict):
        raise ValidationFailed("The value must be a JSON schema.", field=field)
    return Grammar("json_schema", schemas.of(value, place))


def regex_grammar(value: Any, field: str) -> Grammar:
    """The grammar of a regular expression. Raises :class:`ValidationFailed` if it is none."""
    if not isinstance(value, str) or not value:
        raise ValidationFailed("The value must be an expression.", field=field)
    return Grammar("regex", value)


def choice_grammar(choices: list[str]) -> Grammar:
    """The grammar of a text that is one of ``choices``."""
    escaped = (_SPECIAL.sub(r"\\\g<0>", choice) for choice in choices)
    return Grammar("regex", f"({'|'.join(escaped)})")


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse(text), dict)
    except ValueError:
        return False
