"""Formats that a chat's answer has to keep to: grammars, and those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.seam.generation import Grammar
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FULL, generated
from tests.serve_app.ingress.routes.openai.chat_calls import MESSAGES, PATH, posted, reaching
from tests.serve_app.local_handle import Family


async def test_vllms_constraints_do_what_a_response_format_does() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "maximum": 0.1}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    by_format = await reaching(model=FULL, response_format=wanted)
    for given in ({"guided_json": schema}, {"structured_outputs": {"json": schema}}):
        assert (await reaching(model=FULL, **given)).grammar == by_format.grammar
    response = await posted(Family(), model=FULL, guided_json=schema, response_format=wanted)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "guided_json")


@pytest.mark.parametrize(
    ("given", "grammar"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, Grammar("json")),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, Grammar("json")),
        (
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "description": "y",
                    "strict": True,
                    "schema": {"type": "object", "properties": {"b": {}, "a": {}}},
                },
            },
            Grammar("json_schema", '{"type":"object","properties":{"b":{},"a":{}}}'),
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": 10**30}}},
            Grammar("json_schema", '{"const":1' + 30 * "0" + "}"),
        ),
    ],
)
async def test_a_response_format_is_a_grammar(
    given: dict[str, Any], grammar: Grammar | None
) -> None:
    assert (await reaching(model=FULL, response_format=given)).grammar == grammar


@pytest.mark.parametrize(
    "given",
    [
        {"type": "xml"},
        {"type": "json_schema"},
        {"type": "json_object", "json_schema": {"name": "x"}},
        {"type": "json_schema", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"name": "a b"}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": "{}"}},
        {"type": "json_schema", "json_schema": {"name": "x", "schemas": {}}},
    ],
)
async def test_a_response_format_that_is_none_is_named(given: dict[str, Any]) -> None:
    response = await posted(Family(), model=FULL, response_format=given)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("response_format")


async def test_a_schema_reaches_the_model_to_the_last_digit() -> None:
    schema = '{"enum":[0.1234567890123456789,1e400,1376946241435750401,{"a\\"é":[2.50]}]}'
    given = f'{{"type": "json_schema", "json_schema": {{"name": "x", "schema": {schema}}}}}'
    family = Family(generated("1"))
    fields = json.dumps({"model": FULL, "messages": MESSAGES})[:-1]
    body = f'{fields}, "response_format": {given}}}'
    response = await house.post_text(house.app({"generation": family}), PATH, body)
    assert response.status_code == 200, response.text
    assert family.asked[0].grammar == Grammar("json_schema", schema)


async def test_a_grammar_that_the_model_side_refuses_is_the_response_formats() -> None:
    problem = Problem("validation", "no such keyword", "grammar")
    response = await posted(Family(problem), model=FULL, response_format={"type": "json_object"})
    assert response.json()["error"]["param"] == "response_format"
