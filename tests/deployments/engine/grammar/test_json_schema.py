"""What a client's schema becomes: kept exactly, or refused by name before the first token."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from deployments.engine.grammar.json_schema import prepare_schema
from deployments.engine.grammar.schema_numbers import UnsupportedSchema
from tests.deployments.engine.grammar.schema_texts import only_text, refusal, takes


@pytest.mark.parametrize(
    ("ignored", "text"),
    [
        ({"type": "array", "uniqueItems": False}, "[1, 1]"),
        ({"type": "array", "uniqueItems": True, "maxItems": 1}, "[1]"),
        ({"type": "string", "format": "made-up"}, '"x"'),
        ({"type": "string", "format": "int64"}, '"x"'),
        ({"type": "array", "items": {"type": "integer"}, "additionalItems": False}, "[1, 2]"),
        ({"type": "array", "items": [{"type": "string"}], "additionalItems": False}, '["a"]'),
        ({"type": "integer", "$schema": "https://example.com/of-my-own"}, "1"),
        ({"type": "integer", "$schema": "http://json-schema.org/draft-07/schema#"}, "1"),
        ({"type": "integer", "deprecated": True, "readOnly": True, "title": "t"}, "1"),
        ({"type": "integer", "examples": [2**70, 0.1], "default": 2**53 + 1}, "1"),
        ({"type": "integer", "x-order": 3, "nullable": False, "$comment": "c"}, "1"),
        ({"type": "string", "minLength": 2.0}, '"ab"'),
        ({"type": "integer", "minProperties": 9, "uniqueItems": True}, "1"),
        ({"type": "object", "propertyNames": {"type": "string"}, "dependentRequired": {}}, "{}"),
        ({"type": "object", "properties": {"a": True}, "unevaluatedProperties": False}, '{"a": 1}'),
    ],
)
def test_keywords_without_an_effect_are_accepted(ignored: dict[str, Any], text: str) -> None:
    assert takes(ignored, text)


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date", "2024-02-28", "2024-13-01"),
        ("date", "2023-12-31", "2023-02-29"),
        ("date-time", "2024-01-01T10:20:30Z", "2024-01-01 10:20:30Z"),
        ("date-time", "2024-01-01T23:59:59.5+01:00", "2024-01-01T23:59:60Z"),
        ("time", "10:20:30Z", "10:20:60Z"),
        ("uuid", "12345678-1234-1234-1234-123456789abc", "1234"),
        ("email", "a@b.c", "a"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
    ],
)
def test_known_formats_are_enforced(form: str, good: str, bad: str) -> None:
    schema = {"type": "string", "format": form}
    assert takes(schema, json.dumps(good))
    assert not takes(schema, json.dumps(bad))
    with_pattern = {**schema, "pattern": f"{good[-1]}$"}
    assert takes(with_pattern, json.dumps(good))
    assert not takes(with_pattern, json.dumps(bad))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    ],
)
async def test_a_text_that_could_never_end_is_refused(schema: dict[str, Any]) -> None:
    assert "no text that fits it can end" in await refusal(schema)


def test_no_choice_leads_into_a_text_that_could_never_end() -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#/$defs/e"}}, "required": ["a"]}
    schema = {"anyOf": [{"$ref": "#/$defs/e"}, {"type": "null"}], "$defs": {"e": endless}}
    assert only_text(schema) == "null"
    optional = {
        "type": "object",
        "properties": {"e": {"$ref": "#/$defs/e"}},
        "$defs": {"e": endless},
    }
    assert only_text({**optional, "additionalProperties": False}) == "{}"


async def test_free_keys_are_not_counted_twice() -> None:
    for schema in ({"minProperties": 2}, {"minProperties": 4, "required": ["a", "b"]}):
        assert "minProperties" in await refusal({"type": "object", **schema})
    assert takes({"type": "object", "minProperties": 1}, '{"a": 1}')
    assert not takes({"type": "object", "minProperties": 1}, "{}")
    assert takes({"type": "object", "minProperties": 2, "required": ["a", "b"]}, '{"a": 1, "b": 2}')


def test_a_free_key_cannot_be_a_declared_one_in_disguise() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": {"type": "boolean"},
    }
    assert takes(schema, '{"a": 1, "b": true}')
    assert not takes(schema, '{"\\u0061": true}')


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"properties": {"a/b": {"not": {}}}}, "#/properties/a~1b: the keyword not is not"),
        ({"items": {"if": {}, "then": {}}}, "#/items: the keyword if is not supported"),
        ({"$ref": "#/$defs/none"}, "nothing in the schema is called #/$defs/none"),
        ({"$ref": "#none"}, "nothing in the schema is called #none"),
        ({"minLength": -1}, "#: minLength must be a whole number"),
        ({"anyOf": {}}, "#: anyOf must be a list"),
        ({"type": 5}, "#: type must be"),
        ({"enum": ["\x01"]}, "#: a constant has a control character"),
        ({"type": "integer", "$id": "no uri \x00"}, "no valid URI reference"),
        ({"type": "string", "pattern": "^a$", "format": "date"}, "no text has that pattern"),
        ("[]", "a schema must be an object"),
        ('{"const": NaN}', "it is no JSON"),
        ('{"const": ' + "1" * 5000 + "}", "it is no JSON"),
        ('{"enum": ["\\ud800"]}', "it is no JSON"),
        ("[" * 30_000, "it is no JSON"),
    ],
)
async def test_a_refusal_says_where_and_why(schema: Any, says: str) -> None:
    said = await refusal(schema)
    assert says in said
    assert len(said) <= 200


async def test_a_long_name_hides_no_reason() -> None:
    schema: dict[str, Any] = {"properties": {"a\nb" * 2000: {"not": {}}}}
    said = await refusal(schema)
    assert said.endswith("the keyword not is not supported")
    assert "\n" not in said


def test_the_last_of_two_equal_keys_counts_as_in_every_parser() -> None:
    assert only_text('{"const": 1, "const": 2}') == "2"


def test_names_of_properties_are_written_as_they_are() -> None:
    for name in ("1376946241435750401", 'a"b\\', "é\n", "\u2028", "", "$ref"):
        schema = {"type": "object", "properties": {name: {"const": 1}}, "required": [name]}
        text = only_text({**schema, "additionalProperties": False})
        assert json.loads(text) == {name: 1}


def test_preparing_the_largest_schema_is_bounded() -> None:
    branches = [{"$ref": f"#/$defs/d{i}"} for i in range(300)]
    chain = {f"d{i}": {"oneOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(300)}
    source = json.dumps({"oneOf": branches, "$defs": {**chain, "d300": {"type": "string"}}})
    assert prepare_schema(source).one_of_is_any_of is False
    forwards = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i - 1}"}]} for i in range(1, 600)}
    backwards = dict(reversed([("d0", {"type": "null"}), *forwards.items()]))
    for defs in ({"d0": {"type": "null"}, **forwards}, backwards):
        assert prepare_schema(json.dumps({"$ref": "#/$defs/d599", "$defs": defs}))
    with pytest.raises(UnsupportedSchema, match="no JSON"):
        prepare_schema('{"items":' * 5_000)


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "http://[#x"},
        {"$ref": "http://[#x"},
        {"type": "object", "minProperties": 1, "required": [[1]]},
        {"type": "object", "required": [{"a": 1}], "properties": {"a": {}}},
    ],
)
def test_what_is_no_schema_is_at_most_refused(schema: dict[str, Any]) -> None:
    with suppress(UnsupportedSchema):
        assert prepare_schema(json.dumps(schema)).schema == schema


def test_a_list_of_thousands_of_schemas_is_looked_through_a_few_times() -> None:
    before = time.thread_time()
    prepare_schema(json.dumps({"allOf": [{} for _ in range(10_000)]}))
    assert time.thread_time() - before < 4  # with a look at all for each of them it took 9 s
