"""JSON schemas of a request with their numbers exactly as the client wrote them."""

from __future__ import annotations

import json
import re
from typing import Any

from serve_app.ingress.errors import ValidationFailed

MAX_CHARACTERS = 64 * 1024
"""Longer schemas are passed on as parsed, since the models' side refuses far shorter ones."""

MAX_BODY = 2**20
"""Bytes of a body that is parsed a second time. Prompts, tools and schemas have far fewer."""

_FRACTIONS = re.compile(r"[0-9][.eE]|Infinity")


class SchemaText:
    """The schemas of one JSON body.

    The request's parser turns numbers with fractions into doubles, which may change their last
    digits. So a schema with such numbers is read from the body a second time.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._exact: Any = None

    def of(self, schema: dict[str, Any], *places: tuple[str | int, ...]) -> str:
        """``schema`` as JSON. It is in the body at the first of ``places`` that exists."""
        # Not by orjson, which takes no integers of more than 64 bits.
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        if len(text) > MAX_CHARACTERS or not _FRACTIONS.search(text):
            return text
        if len(self._body) > MAX_BODY:
            message = f"A schema with fractions needs a body of up to {MAX_BODY} bytes."
            raise ValidationFailed(message, field=str(places[0][0]))
        if self._exact is None:
            self._exact = json.loads(self._body, parse_float=_Number)
        found = next((each for place in places if isinstance(each := self._at(place), dict)), None)
        return text if found is None else _dumped(found)

    def _at(self, place: tuple[str | int, ...]) -> Any:
        value = self._exact
        for step in place:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


class _Number(str):
    """A number as the client wrote it."""

    __slots__ = ()


def _dumped(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_dumped(str(key))}:{_dumped(each)}" for key, each in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dumped, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
