"""Rules between the fields of a body as JSON Schema, for checks that validators make in Python.

They use ``not`` only. ``if`` and ``anyOf`` could say the same, but the pages that show the document
would present those as alternative bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

TRUE: Schema = {"const": True}
NULL: Schema = {"type": "null"}
EMPTY: Schema = {"anyOf": [{"type": "null"}, {"type": "array", "maxItems": 0}]}
OBJECT: Schema = {"type": "object"}
INTEGER: Schema = {"type": "integer"}
ITEMS: Schema = {"type": "array", "minItems": 1}
READABLE: Schema = {"pattern": r"\S"}
"""Of a text that must not be blank."""


def when(
    given: Mapping[str, Schema],
    needs: Mapping[str, Schema] | None = None,
    allows: Mapping[str, Schema] | None = None,
) -> Schema:
    """If all of ``given`` are present and match, ``needs`` must be present and match too.

    ``allows`` must match only if they are present.
    """
    needed, allowed = dict(needs or {}), dict(allows or {})
    return _unless(_matching(needed, allowed), _matching(given))


def never(given: Mapping[str, Schema], unless: Mapping[str, Schema] | None = None) -> Schema:
    """``given`` must not all be present and match, unless one of ``unless`` is and does."""
    others = {name: {"not": schema} for name, schema in (unless or {}).items()}
    return {"not": _matching(given, others)}


def unless_given(name: str, **fields: Schema) -> Schema:
    """If ``name`` is left out, ``fields`` must match what its default requires."""
    return _unless({"properties": fields}, {"not": {"required": [name]}})


def all_readable(name: str) -> Schema:
    """No item of the list ``name`` may be blank; one that is fails the whole request."""
    return {"properties": {name: {"items": {**READABLE, "properties": {"text": READABLE}}}}}


def _unless(wanted: Schema, given: Schema) -> Schema:
    """``wanted`` must match if ``given`` does."""
    return {"not": {"allOf": [given, {"not": wanted}]}}


def _matching(required: Mapping[str, Schema], others: Mapping[str, Schema] | None = None) -> Schema:
    properties = {**required, **(others or {})}
    made: Schema = {"properties": properties}
    return made | ({"required": list(required)} if required else {})
