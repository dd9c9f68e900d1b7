"""Alternatives and references in schemas are kept exactly, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llguidance import LLMatcher

from deployments.engine.grammar.compiler import llguidance_source
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.trial import limits
from deployments.engine.grammar.trial_queue import GrammarTrials
from deployments.seam.generation import Grammar, TokenAlternative
from tests.deployments.engine.grammar.schema_texts import BYTES, refusal, takes

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
