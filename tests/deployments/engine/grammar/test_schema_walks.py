"""Whatever schema is taken, every text under it fits the client's own."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from llguidance import LLMatcher, LLTokenizer

from deployments.engine.grammar.compiler import llguidance_source
from deployments.engine.grammar.constraint import ConstraintError
from deployments.engine.grammar.trial import limits
from deployments.seam.generation import Grammar
from tests.deployments.engine.grammar.schemas import Schemas, walk

SCHEMAS, WALKS = 200, 3
BYTES = LLTokenizer("byte")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_random_texts_under_random_schemas_are_valid(depth: int) -> None:
    taken = written = 0
    for seed in range(SCHEMAS):
        schema = Schemas(1000 * depth + seed).whole(depth)
        try:
            source = llguidance_source(Grammar("json_schema", json.dumps(schema)))
        except ConstraintError:
            continue
        matcher = LLMatcher(BYTES, source, limits=limits(), log_level=0)
        if matcher.is_error():
            continue
        taken += 1
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        for text in (walk(matcher, 10 * seed + each) for each in range(WALKS)):
            if text is not None:
                written += 1
                wrong = [error.message for error in validator.iter_errors(json.loads(text))]
                assert not wrong, (wrong, schema, text)
    assert taken > SCHEMAS / 4
    assert written > 2 * taken


KEYWORDS = (
    *("$anchor", "$defs", "$id", "$ref", "$schema", "additionalProperties", "allOf", "anyOf"),
    *("const", "contains", "dependentRequired", "enum", "exclusiveMinimum", "format", "if"),
    *("items", "maxItems", "maximum", "minLength", "minProperties", "multipleOf", "not", "oneOf"),
    *("pattern", "patternProperties", "prefixItems", "properties", "propertyNames", "required"),
    *("then", "type", "unevaluatedItems", "unevaluatedProperties", "uniqueItems"),
)
ODD: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, 1e300, "", "#", "#/a", "http://[", [], {})


def nonsense(draw: random.Random, depth: int) -> Any:
    """Keywords of JSON Schema with whatever values."""
    if depth == 0 or draw.random() < 0.3:
        return draw.choice(ODD)
    if draw.random() < 0.3:
        return [nonsense(draw, depth - 1) for _ in range(draw.randint(0, 2))]
    return {draw.choice(KEYWORDS): nonsense(draw, depth - 1) for _ in range(draw.randint(1, 4))}


def test_nonsense_is_taken_or_refused_and_breaks_nothing() -> None:
    draw, outcomes, lengths = random.Random(7), set(), set()
    for _ in range(1000):
        source = json.dumps({"a": 0, **{draw.choice(KEYWORDS): nonsense(draw, 4) for _ in "123"}})
        try:
            llguidance_source(Grammar("json_schema", source))
            outcomes.add("taken")
        except ConstraintError as error:
            outcomes.add("refused")
            lengths.add(len(str(error)))
    assert outcomes == {"taken", "refused"}
    assert max(lengths) <= 200
