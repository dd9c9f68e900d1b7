"""The few values that a field of a request body takes, read from its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.ingress.validation.fields import Body


@dataclass(frozen=True, slots=True)
class FieldValues:
    """``constants`` are JSON, apart from ``null``; none where a field takes many values.

    A list may be of some of the constants, in any number. ``or_object`` is for fields that take an
    object instead.
    """

    constants: tuple[str, ...] = ()
    in_list: bool = False
    or_object: bool = False

    @property
    def sendable(self) -> tuple[str, ...]:
        """A JSON value for each constant."""
        return tuple(f"[{each}]" for each in self.constants) if self.in_list else self.constants

    def __str__(self) -> str:
        """As the table shows them."""
        shown = ", ".join(f"`{each}`" for each in self.constants)
        return ("a list of " if self.in_list else "") + shown + (", object" * self.or_object)


NOTHING = FieldValues()


def field_values(body: type[Body]) -> dict[str, FieldValues]:
    """The values of each field, by its name in a request. All other values are refused."""
    schema = body.model_json_schema()
    definitions = schema.get("$defs", {})
    schema = definitions[body.__name__] if "$ref" in schema else schema
    return {
        name: _values(field, definitions) for name, field in schema.get("properties", {}).items()
    }


def _values(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> FieldValues:
    branches = [each for each in _branches(schema) if each.get("type") != "null"]
    objects = [each for each in branches if "$ref" in each or each.get("type") == "object"]
    found = [_constants(each) for each in branches if each not in objects]
    if not found and len(objects) == 1 and _is_empty(objects[0], definitions):
        return FieldValues(("{}",))
    if not found or not all(each.constants for each in found):
        return NOTHING
    constants = dict.fromkeys(one for each in found for one in each.constants)
    return FieldValues(tuple(constants), any(each.in_list for each in found), bool(objects))


def _branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [inner for each in schema[union] for inner in _branches(each)]
    return [schema]


def _is_empty(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    """Whether it is an object that has no fields."""
    there = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if there.get("maxProperties") == 0:
        return True
    return there.get("additionalProperties") is False and not there.get("properties")


def _constants(schema: Mapping[str, Any]) -> FieldValues:
    if "const" in schema or "enum" in schema:
        given = [schema["const"]] if "const" in schema else schema["enum"]
        return FieldValues(tuple(map(_json, given)))
    if schema.get("type") == "array":
        if schema.get("maxItems") == 0:
            return FieldValues(("[]",))
        return FieldValues(_constants(schema.get("items", {})).constants, in_list=True)
    if "minimum" in schema and schema["minimum"] == schema.get("maximum"):
        return FieldValues((_json(schema["minimum"]),))
    return NOTHING


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
