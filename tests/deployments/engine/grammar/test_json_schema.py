"""What a client's schema becomes: kept exactly, or refused by name before the first token."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer

from deployments.engine.grammar.compiler import llguidance_source
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.json_schema import prepare_schema
from deployments.engine.grammar.schema_numbers import UnsupportedSchema
from deployments.engine.grammar.trial import limits
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.seam.generation import Grammar, TokenAlternative

BYTES = LLTokenizer("byte")
A_OR_B = {
    "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
    "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A", "b": "#/$defs/B"}},
    "$defs": {
        name: {
            "type": "object",
            "properties": {"kind": {"const": name.lower(), "title": "Kind"}, "x": {"type": kind}},
            "required": ["kind", "x"],
        }
        for name, kind in (("A", "integer"), ("B", "string"))
    },
}


def matcher(schema: Any) -> LLMatcher:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    made = LLMatcher(
        BYTES, llguidance_source(Grammar("json_schema", source)), limits=limits(), log_level=0
    )
    assert not made.is_error(), made.get_error()
    return made


def takes(schema: Any, text: str) -> bool:
    """Whether ``text`` is one that a model can write under ``schema``."""
    state = matcher(schema)
    return all(state.consume_token(byte) for byte in text.encode()) and state.is_accepting()


def only_text(schema: Any) -> str:
    """The text of a schema that leaves no choice."""
    state, text = matcher(schema), bytearray()
    while not state.is_stopped():
        bits = np.frombuffer(state.compute_bitmask(), np.uint8)
        (byte,) = np.nonzero(np.unpackbits(bits, bitorder="little")[:256])[0]
        state.consume_token(int(byte))
        text.append(int(byte))
    return text.decode()


async def refusal(schema: Any) -> str:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(ConstraintError) as caught:
        await GrammarTrials().check(Grammar("json_schema", source))
    return str(caught.value)


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


def test_numbers_in_annotations_and_unused_definitions_are_ignored() -> None:
    assert takes('{"type": "integer", "default": 1e400, "examples": [0.12345678901234567]}', "1")
    assert takes('{"type": "integer", "$defs": {"unused": {"const": 1e400}}}', "1")


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


def test_alternatives_that_a_constant_tells_apart_are_one_of() -> None:
    assert takes(A_OR_B, '{"kind": "a", "x": 1}')
    assert takes(A_OR_B, '{"kind": "b", "x": "y"}')
    assert not takes(A_OR_B, '{"kind": "a", "x": "y"}')
    with_others = {"type": "array", "items": {"oneOf": [*A_OR_B["oneOf"], {"type": "null"}]}}
    assert takes({**with_others, "$defs": A_OR_B["$defs"]}, '[null, {"kind": "a", "x": 1}]')


@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "integer"}, {"type": "number"}],
        [{"type": "string", "maxLength": 4}, {"type": ["boolean", "string"]}],
        [{"const": 1}, {"enum": [1.0, 2]}],
        [{"type": "object", "properties": {"k": {"const": c}}} for c in "ab"],
        [{"properties": {"k": {"const": c}}, "required": ["k"]} for c in "ab"],
        [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}],
    ],
)
async def test_alternatives_that_may_both_match_are_refused(branches: list[Any]) -> None:
    schema = {"oneOf": branches, "$defs": {"x": {"type": "string"}}}
    said = await refusal(schema)
    assert said.startswith("oneOf is supported where")
    assert "coerce" not in said


REFERENCES: list[tuple[Any, str, str]] = [
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, "1", '"x"'),
    ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "integer"}}}, "1", '"x"'),
    ({"$ref": "#/$defs/a~1b~0c%25", "$defs": {"a/b~c%": {"type": "integer"}}}, "1", '"x"'),
    ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "integer"}}}, "1", '"x"'),
    ({"$id": "urn:x", "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, "1", '"x"'),
    ({"$id": "http://x/y", "$ref": "b", "$defs": {"a": {"$id": "b", "type": "null"}}}, "null", "1"),
    ({"const": {"$ref": "#/nowhere"}}, '{"$ref": "#/nowhere"}', "{}"),
    ({"enum": [{"$ref": "#"}, 1]}, '{"$ref": "#"}', "2"),
    (
        {"properties": {"$ref": {"type": "null"}}, "required": ["$ref"], "type": "object"},
        '{"$ref": null}',
        '{"$ref": 1}',
    ),
    (
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False},
        '{"next": {"next": {}}}',
        '{"next": 1}',
    ),
    (
        {
            "type": "object",
            "properties": {"id": {"$id": "http://x/id", "$ref": "#/$defs/a", "$defs": {"a": {}}}},
        },
        '{"id": 1}',
        "[]",
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), REFERENCES)
def test_references_mean_the_same_alone_and_among_others(schema: Any, good: str, bad: str) -> None:
    assert takes(schema, good)
    assert not takes(schema, bad)
    other = {"type": "string", "$defs": {"a": {"$anchor": "here", "type": "boolean"}}}
    both = Grammar(
        "alternatives",
        before="<",
        after=">",
        alternatives=(
            TokenAlternative("1", json.dumps(other)),
            TokenAlternative("2", json.dumps(schema)),
        ),
    )
    for text, fits in ((f"<2{good}>", True), (f"<2{bad}>", False), ('<1"x">', True)):
        state = LLMatcher(BYTES, llguidance_source(both), limits=limits(), log_level=0)
        taken = all(state.consume_token(byte) for byte in text.encode()) and state.is_accepting()
        assert taken is fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Hello.", True),
        ("Well <call>\n1</call> then <call>\n2true</call>.", True),
        ('<call>\n3"</call>"</call>', True),
        ("<call>\n1true</call>", False),
        ("<call> is a mark", False),
    ],
)
def test_alternatives_are_kept_to_in_free_text_too(text: str, fits: bool) -> None:
    schemas = ('{"type": "integer"}', '{"type": "boolean"}', '{"const": "</call>"}')
    parts = tuple(TokenAlternative(f"{i}" * (i > 1), each) for i, each in enumerate(schemas, 1))
    grammar = Grammar("alternatives", "", "<call>\n", "</call>", triggered=True, alternatives=parts)
    state = LLMatcher(BYTES, llguidance_source(grammar), limits=limits(), log_level=0)
    taken = all(state.consume_token(byte) for byte in text.encode()) and state.is_accepting()
    assert taken is fits


async def test_a_schema_of_too_many_free_choices_is_refused_before_its_text_breaks() -> None:
    properties = {f"p{i}": {"type": "integer"} for i in range(700)}
    said = await refusal({"type": "object", "properties": properties})
    assert "too complex" in said


async def test_the_alternative_at_fault_is_named() -> None:
    good = TokenAlternative("1", '{"type": "integer"}')
    for bad in ('{"not": {}}', '{"pattern": "(?=a)"}', '{"const": 9007199254740993}'):
        three = (good, TokenAlternative("2", bad), good)
        with pytest.raises(ConstraintError) as caught:
            await GrammarTrials().check(Grammar("alternatives", alternatives=three))
        assert caught.value.part == 1


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
