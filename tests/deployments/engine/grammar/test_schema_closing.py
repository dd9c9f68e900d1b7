"""Objects are closed where a schema names their properties, unless it says otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from deployments.engine.grammar.json_schema import prepare_schema

NAMED = {"properties": {"a": {"type": "integer"}}}
OPEN = {"additionalProperties": True}
CLOSED = {"additionalProperties": False}


def prepared(schema: dict[str, Any]) -> dict[str, Any]:
    return prepare_schema(json.dumps(schema)).schema


@pytest.mark.parametrize(
    "schema",
    [
        NAMED,
        {"type": "object", **NAMED},
        {"type": "object", "properties": {}},
        {**NAMED, "required": ["a"]},
        {**NAMED, "patternProperties": {"^x-": {}}},
    ],
)
def test_named_properties_are_all_that_there_are(schema: dict[str, Any]) -> None:
    assert prepared(schema)["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "patternProperties": {"^x-": {}}},
        {**NAMED, "required": ["b"]},
        {**NAMED, "required": ["a"], "minProperties": 2},
        {**NAMED, "unevaluatedProperties": True},
        {"type": "string"},
    ],
)
def test_an_object_that_has_to_have_others_stays_open(schema: dict[str, Any]) -> None:
    assert "additionalProperties" not in prepared(schema)


@pytest.mark.parametrize("said", [True, {"type": "string"}, False])
def test_what_the_schema_says_itself_counts(said: Any) -> None:
    assert prepared({**NAMED, "additionalProperties": said})["additionalProperties"] == said


def test_objects_within_are_closed_too() -> None:
    made = prepared({"type": "array", "items": NAMED, "$defs": {"unused": NAMED}})
    assert made["items"]["additionalProperties"] is False
    made = prepared({"anyOf": [NAMED, {"type": "null"}]})
    assert made["anyOf"][0]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {}}}], "$defs": {"A": NAMED}},
        {"$ref": "#/$defs/A", "properties": {"b": {}}, "$defs": {"A": NAMED}},
        {"properties": {"b": {}}, "anyOf": [{"$ref": "#/$defs/A"}, NAMED], "$defs": {"A": NAMED}},
        {"allOf": [{"anyOf": [{"$ref": "#/$defs/A"}]}, NAMED], "$defs": {"A": NAMED}},
    ],
)
def test_schemas_that_describe_one_object_together_stay_open(schema: dict[str, Any]) -> None:
    made = prepared(schema)
    assert "additionalProperties" not in made
    assert "additionalProperties" not in made["$defs"]["A"]


def test_a_lone_reference_closes_what_it_refers_to() -> None:
    made = prepared({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": NAMED}})
    assert made["$defs"]["A"]["additionalProperties"] is False


def test_a_model_of_pydantic_is_closed_at_every_depth() -> None:
    class Street(BaseModel):
        name: str

    class Person(BaseModel):
        name: str
        streets: list[Street]
        home: Street | None = None

    made = prepared(Person.model_json_schema())
    assert made["additionalProperties"] is False
    assert made["$defs"]["Street"]["additionalProperties"] is False
