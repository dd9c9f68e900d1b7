"""Constants and bounds of numbers in schemas are kept exactly, or refused."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from deployments.engine.grammar.json_schema import prepare_schema
from deployments.engine.grammar.schema_numbers import UnsupportedSchema
from tests.deployments.engine.grammar.schema_texts import only_text, refusal, takes


@pytest.mark.parametrize(
    "literal",
    [
        "0",
        "-7",
        "1.5",
        "0.1",
        "9007199254740992",
        "1152921504606846976",
        "9223372036854775807",
        "1000000000000000000000000000000",
        "0.12345678901234568",
        "1.2345678901234567e-8",
        "1e-9",
        "1E+3",
    ],
)
def test_a_constant_is_written_as_the_same_number(literal: str) -> None:
    assert Decimal(only_text(f'{{"const": {literal}}}')) == Decimal(literal)
    assert Decimal(only_text(f'{{"enum": [{literal}]}}')) == Decimal(literal)
    inside = json.loads(only_text(f'{{"const": {{"a": [{literal}]}}}}'), parse_float=Decimal)
    assert inside["a"][0] == Decimal(literal)


@pytest.mark.parametrize(
    "literal",
    [
        "1376946241435750401",
        "-9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "123456789.12345679",
        "0.1234567890123456789",
        "0.1000000000000000055511151231257827",
        "1e25",
        "1e400",
        "-1e999999999999999999999",
    ],
)
@pytest.mark.parametrize("schema", ['{"const": %s}', '{"enum": [1, {"a": [%s]}]}'])
async def test_a_constant_that_would_be_another_number_is_refused(
    schema: str, literal: str
) -> None:
    said = await refusal('{"type": "object", "properties": {"id": ' + schema % literal + "}}")
    assert said.startswith("#/properties/id: the number ")


@pytest.mark.parametrize(
    ("bounds", "minimum", "below"),
    [
        ({"minimum": 2**53 + 1}, 2**53 + 2, 2**53),
        ({"exclusiveMinimum": 2**53}, 2**53 + 2, 2**53),
        ({"minimum": -(2**53) - 1}, -(2**53), -(2**53) - 2),
        ({"minimum": 0.5}, 1, 0),
        ({"minimum": 10**18}, 10**18, 10**18 - 1),
        ({"minimum": 1, "exclusiveMinimum": True}, 2, 1),
    ],
)
def test_no_integer_below_its_minimum_can_be_written(
    bounds: dict[str, Any], minimum: int, below: int
) -> None:
    assert takes({"type": "integer", **bounds}, str(minimum))
    assert not takes({"type": "integer", **bounds}, str(below))
    turned = {
        key.replace("Min", "Max").replace("min", "max"): value for key, value in bounds.items()
    }
    turned = {key: value if value is True else -value for key, value in turned.items()}
    assert takes({"type": "integer", **turned}, str(-minimum))
    assert not takes({"type": "integer", **turned}, str(-below))


def test_int64_is_a_range() -> None:
    whole = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    for number in (0, -5, 2**63 - 1, -(2**62)):
        assert takes(whole, str(number))
    for number in (2**63, -(2**63) - 1, 10**20):
        assert not takes(whole, str(number))
    assert takes({"type": "integer", "minimum": -(2**63)}, "-12")


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 1376946241435750401, "maximum": 1376946241435750401},
        {"type": "integer", "minimum": 2**53 + 1, "maximum": 2**53 + 1},
        {"type": "integer", "minimum": 2**64},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "number", "minimum": 1e20, "maximum": 1e21},
        {"type": "number", "multipleOf": 0.07},
        {"multipleOf": 0},
        {"allOf": [{"type": "integer"}, {"const": 10**30}]},
    ],
)
async def test_bounds_that_cannot_be_kept_are_refused(schema: dict[str, Any]) -> None:
    assert (await refusal(schema)).startswith("#")


@pytest.mark.parametrize(
    "other", [{}, {"maximum": 0.5}, {"exclusiveMaximum": 1e-7}, {"maximum": 3}]
)
def test_zero_is_not_above_zero(other: dict[str, Any]) -> None:
    above = {"type": "number", "exclusiveMinimum": 0, **other}
    below = {"type": "number", "exclusiveMaximum": 0}
    assert takes(above, "0.00000001")
    assert takes({**below, "minimum": -0.5}, "-0.25")
    for zero in ("0", "0.0", "-0"):
        assert not takes(above, zero)
        assert not takes({**below, "minimum": -0.5}, zero)
        assert not takes(below, zero)
    assert not takes({"type": "number", "exclusiveMinimum": 16, "maximum": 16.5}, "16")


def test_the_type_of_a_wide_integer_says_nothing_more() -> None:
    assert only_text({"type": "integer", "const": 10**30}) == str(10**30)
    assert only_text({"type": "integer", "enum": [10**30, "a", 0.5]}) == str(10**30)


def test_numbers_in_annotations_and_unused_definitions_are_ignored() -> None:
    assert takes('{"type": "integer", "default": 1e400, "examples": [0.12345678901234567]}', "1")
    assert takes('{"type": "integer", "$defs": {"unused": {"const": 1e400}}}', "1")


@pytest.mark.parametrize(
    "source",
    [
        '{"type": "integer", "minimum": -1e1000000}',
        '{"type": "number", "minimum": 1e1000001}',
        '{"type": "number", "exclusiveMaximum": -1e99999999999999999999}',
        '{"oneOf": [{"const": 1e1000001}, {"const": 2}]}',
        '{"const": 1e-1000000}',
        '{"const": 1e-99999999999999999999}',
        '{"anyOf": [{}], "properties": {"a": {"$ref": "#/anyOf/' + "1" * 5000 + '"}}}',
    ],
)
def test_numbers_of_a_million_digits_are_refused_and_not_computed_with(source: str) -> None:
    before = time.thread_time()
    with pytest.raises(UnsupportedSchema):
        prepare_schema(source)
    assert time.thread_time() - before < 5  # one of them took 26 s
