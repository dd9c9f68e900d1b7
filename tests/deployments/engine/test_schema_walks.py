"""Whatever schema is taken, every text under it fits the client's own."""

from __future__ import annotations

import json

import jsonschema
import pytest
from llguidance import LLMatcher, LLTokenizer

from deployments.engine.constraint import ConstraintError, notation
from deployments.engine.grammar_trial import limits
from deployments.seam import Grammar
from tests.deployments.engine.schemas import Schemas, walk

SCHEMAS, WALKS = 200, 3
BYTES = LLTokenizer("byte")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_random_texts_under_random_schemas_are_valid(depth: int) -> None:
    taken = written = 0
    for seed in range(SCHEMAS):
        schema = Schemas(1000 * depth + seed).whole(depth)
        try:
            source = notation(Grammar("json_schema", json.dumps(schema)))
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
