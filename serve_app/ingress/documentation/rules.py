"""Rules between the fields of a body, in JSON Schema: what validators say in Python.

They are written with ``not`` alone, which validators read like any keyword. ``if`` and ``anyOf``
would say the same, but the pages that show the document make alternative bodies of those.
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
"""Of a text in which something has to be read."""


def when(
    given: Mapping[str, Schema],
    needs: Mapping[str, Schema] | None = None,
    allows: Mapping[str, Schema] | None = None,
) -> Schema:
    """Where all of ``given`` are there and match, ``needs`` have to be there and match as well.

    ``allows`` have to match only where they are there.
    """
    needed, allowed = dict(needs or {}), dict(allows or {})
    return _unless(_matching(needed, allowed), _matching(given))


def never(given: Mapping[str, Schema], unless: Mapping[str, Schema] | None = None) -> Schema:
    """All of ``given`` are not there together, but where one of ``unless`` is there and matches."""
    others = {name: {"not": schema} for name, schema in (unless or {}).items()}
    return {"not": _matching(given, others)}


def unless_given(name: str, **fields: Schema) -> Schema:
    """Where ``name`` is left out, ``fields`` have to match what its default asks of them."""
    return _unless({"properties": fields}, {"not": {"required": [name]}})


def all_readable(name: str) -> Schema:
    """Every item of the list ``name`` has something to read: one that has not fails them all."""
    return {"properties": {name: {"items": {**READABLE, "properties": {"text": READABLE}}}}}


def _unless(wanted: Schema, given: Schema) -> Schema:
    """``wanted`` matches, unless ``given`` does not."""
    return {"not": {"allOf": [given, {"not": wanted}]}}


def _matching(required: Mapping[str, Schema], others: Mapping[str, Schema] | None = None) -> Schema:
    properties = {**required, **(others or {})}
    made: Schema = {"properties": properties}
    return made | ({"required": list(required)} if required else {})
