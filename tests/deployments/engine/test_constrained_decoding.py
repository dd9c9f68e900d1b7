"""Texts held to a grammar, on real weights."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from deployments.engine.interface import Engine
from deployments.seam.generation import Grammar, TokenAlternative
from tests.deployments.engine.reading import Reader

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"enum": ["old", "young"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
AS_SCHEMA = Grammar("json_schema", json.dumps(PERSON))
ASKED = "Describe a person as JSON."
DIGITS = Grammar("regex", "[0-9]{3}-[0-9]{4}")


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_a_schema_holds_at_every_temperature(torch_engine: Engine, temperature: float) -> None:
    reader = Reader(
        torch_engine, ASKED, new=100, temperature=temperature, seed=3, grammar=AS_SCHEMA
    )
    jsonschema.validate(json.loads(reader.read()), PERSON)
    assert reader.finish == "stop"


def test_an_expression_ends_with_its_last_character(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, "A phone number, please.", temperature=0.0, grammar=DIGITS)
    text = reader.read()
    assert len(text) == 8
    assert text[3] == "-"
    assert reader.tokens[-1].text != ""
    assert reader.finish == "stop"
    exact = Reader(
        torch_engine,
        "A phone number, please.",
        new=len(reader.tokens),
        temperature=0.0,
        grammar=DIGITS,
    )
    assert exact.read() == text
    assert exact.finish == "stop"


def test_a_text_that_is_cut_off_says_so(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, ASKED, new=4, temperature=0.0, grammar=AS_SCHEMA)
    assert reader.read().startswith('{"name": "')
    assert reader.finish == "length"


def test_a_stop_string_still_ends_the_text(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, ASKED, temperature=0.0, grammar=AS_SCHEMA, stop=('"name"',))
    assert reader.read() == "{"
    assert reader.finish == "stop"


def test_an_end_outranks_a_minimum_that_the_grammar_has_no_room_for(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, "Hi", new=40, min_new=30, temperature=0.0, grammar=DIGITS)
    assert len(reader.read()) == 8
    flexible = Reader(
        torch_engine, "Hi", new=16, min_new=10, temperature=0.0, grammar=Grammar("regex", "a*")
    )
    flexible.read()
    assert len(flexible.tokens) > 10


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_constrained_text_resumes_on_another_replica(
    torch_engine: Engine, temperature: float
) -> None:
    def reader(already: tuple[int, ...] = ()) -> Reader:
        return Reader(
            torch_engine,
            ASKED,
            new=100,
            temperature=temperature,
            seed=4,
            grammar=AS_SCHEMA,
            resume_ids=already,
        )

    whole = reader()
    whole.read()
    rest = reader(tuple(whole.ids[:7]))
    rest.read()
    assert rest.tokens == whole.tokens[7:]


def test_log_probabilities_stay_the_models_own(torch_engine: Engine) -> None:
    reader = Reader(torch_engine, "Hi", new=1, temperature=0.0, logprobs=True, grammar=DIGITS)
    reader.read()
    logprob = reader.tokens[0].logprob
    assert logprob is not None
    assert logprob.logprob < -1, "no model answers a greeting with a digit"


def test_what_becomes_too_complex_fails_alone(torch_engine: Engine) -> None:
    explosive = Grammar("regex", "(a?){2000}a{2000}")
    reader = Reader(torch_engine, "Hi", new=200, temperature=0.0, grammar=explosive)
    neighbour = Reader(torch_engine, "What is the capital of France?", temperature=0.0)
    reader.start()
    assert "Paris" in neighbour.read()
    problem = reader.wait().problem
    assert problem is not None
    assert (problem.kind, problem.field) == ("validation", "grammar")


def call(city: str) -> TokenAlternative:
    schema = {"type": "object", "properties": {"city": {"const": city}}, "required": ["city"]}
    source = json.dumps({**schema, "additionalProperties": False})
    return TokenAlternative('{"name": "weather", "arguments": ', source)


@pytest.mark.parametrize("city", ["</tool_call>", '"}\n<tool_call>\n{', "Oslo"])
def test_a_call_may_hold_its_own_marks(torch_engine: Engine, city: str) -> None:
    grammar = Grammar(
        "alternatives",
        before="<tool_call>\n",
        after="}\n</tool_call>",
        alternatives=(call(city), call(f"{city} or Bergen")),
    )
    reader = Reader(torch_engine, "Call a tool.", new=60, temperature=1.0, seed=1, grammar=grammar)
    text = reader.read()
    body = text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    made = json.loads(body)
    assert made["name"] == "weather"
    assert made["arguments"]["city"] in (city, f"{city} or Bergen")
    assert reader.finish == "stop"
