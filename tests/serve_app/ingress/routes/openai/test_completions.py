"""Completions: sixteen tokens by default, OpenAI's older shapes, and fields of other servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ray.exceptions import RayError

from deployments.seam.generation import Grammar, Sampling
from deployments.seam.problems import Problem
from tests.serve_app.house import FAST, FULL, WINDOW, burst, events
from tests.serve_app.ingress.routes.openai.completion_calls import posted, reaching
from tests.serve_app.local_handle import Family

SECRET = "/home/inside/model.py line 7"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_said_is_as_openai_says(stream: bool) -> None:
    (request,) = await reaching(stream=stream)
    assert request.sampling == Sampling(seed=request.sampling.seed)
    assert (request.max_new_tokens, request.max_length) == (16, None)
    assert (request.prompt, request.messages, request.choices) == ("Hi", None, 1)


async def test_what_is_said_is_what_reaches_the_model() -> None:
    given = {"temperature": 0.5, "top_p": 0.25, "seed": 3, "max_tokens": 4, "n": 2, "stop": ["x"]}
    (request,) = await reaching(model=FULL, logprobs=2, **given)
    assert request.sampling == Sampling(0.5, 0.25, logprobs=True, top_logprobs=2, seed=3)
    assert (request.max_new_tokens, request.choices, request.stop) == (4, 2, ("x",))


async def test_a_bound_beyond_the_window_is_named() -> None:
    response = await posted(Family(), max_tokens=WINDOW + 1)
    assert response.json()["error"]["param"] == "max_tokens"


async def test_a_stream_is_pieces_of_text_and_then_done() -> None:
    family = Family([burst("a", ""), burst("b", at=2, finish="stop")])
    found = [data for _, data in events((await posted(family, stream=True)).text)]
    assert found[-1] == "[DONE]"
    choices = [chunk["choices"][0] for chunk in found[:-1]]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices] == [
        ("a", None),
        ("b", "stop"),
    ]


async def test_a_stream_that_breaks_says_so_in_openais_envelope_and_is_done() -> None:
    family = Family([burst("a"), RayError(SECRET)])
    found = [data for _, data in events((await posted(family, stream=True)).text)]
    assert found[-1] == "[DONE]"
    assert found[-2]["error"]["code"] == "internal_error"
    assert SECRET not in str(found)


async def test_stream_options_without_a_stream_are_named() -> None:
    response = await posted(Family(), stream_options={"include_usage": True})
    assert response.json()["error"]["param"] == "stream_options"


NEUTRAL: dict[str, Any] = {
    "ignore_eos": False,
    "min_tokens": 0,
    "min_p": 0,
    "top_k": -1,
    "stop": "",
    "echo": False,
    "truncate_prompt_tokens": None,
    "structured_outputs": None,
    "guided_json": None,
}
"""Fields that do something at other values. The compatibility table's test has the rest."""


async def test_values_that_ask_for_nothing_have_no_effect() -> None:
    (plain,) = await reaching(seed=1)
    for field, value in NEUTRAL.items():
        (request,) = await reaching(seed=1, **{field: value})
        assert replace(request, request_id=plain.request_id) == plain, field


async def test_fields_of_other_servers_reach_the_model() -> None:
    (request,) = await reaching(min_p=0.25, min_tokens=3, ignore_eos=True, max_tokens=9)
    assert (request.sampling.min_p, request.min_new_tokens, request.ignore_eos) == (0.25, 3, True)
    (request,) = await reaching(truncate_prompt_tokens=7)
    assert (request.keep_last, request.truncate) == (7, False)
    (request,) = await reaching(truncate_prompt_tokens=-1)
    assert (request.keep_last, request.truncate) == (None, True)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("min_tokens", {"min_tokens": 17}),
        ("min_p", {"min_p": 1.5}),
        ("truncate_prompt_tokens", {"truncate_prompt_tokens": 0}),
        ("truncate_prompt_tokens", {"truncate_prompt_tokens": -2}),
        ("best_of", {"best_of": 2}),
        ("guided_regex", {"guided_regex": "a", "model": FAST}),
        ("structured_outputs.json", {"structured_outputs": {"json": {}}, "model": FAST}),
        ("guided_regex", {"guided_json": {}, "guided_regex": "a"}),
        ("guided_json", {"guided_json": "no schema", "model": FULL}),
        ("guided_grammar", {"guided_grammar": "root ::= x", "model": FULL}),
        ("guided_choice", {"guided_choice": ["x" * 1000] * 33, "model": FULL}),
        ("guided_regex", {"guided_regex": "x" * 33_000, "model": FULL}),
    ],
)
async def test_what_cannot_be_meant_is_named(field: str, fields: dict[str, Any]) -> None:
    response = await posted(Family(), **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("given", "grammar"),
    [
        ({"guided_json": SCHEMA}, Grammar("json_schema", '{"type":"object"}')),
        ({"guided_json": '{"type": "object"}'}, Grammar("json_schema", '{"type": "object"}')),
        ({"guided_regex": "a+"}, Grammar("regex", "a+")),
        ({"guided_choice": ["a b", "c.d\n"]}, Grammar("regex", "(a b|c\\.d\n)")),
        (
            {"structured_outputs": {"json": SCHEMA}},
            Grammar("json_schema", '{"type":"object"}'),
        ),
        ({"structured_outputs": {"regex": "a+"}}, Grammar("regex", "a+")),
        ({"structured_outputs": {"choice": ["x", "y"]}}, Grammar("regex", "(x|y)")),
        ({"structured_outputs": {"json_object": True}}, Grammar("json")),
    ],
)
async def test_vllms_constraints_are_grammars(given: dict[str, Any], grammar: Grammar) -> None:
    (request,) = await reaching(model=FULL, **given)
    assert request.grammar == grammar


async def test_a_constraint_that_the_model_side_refuses_has_its_own_name() -> None:
    family = Family(Problem("validation", "it is too complex", "grammar"))
    response = await posted(family, model=FULL, structured_outputs={"regex": "a{9999}"})
    assert response.json()["error"]["param"] == "structured_outputs.regex"


async def test_usage_may_be_in_every_chunk() -> None:
    family = Family([burst("a", "b"), burst("c", at=2, finish="stop")])
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = await posted(family, stream=True, stream_options=options)
    found = [data for _, data in events(response.text)][:-1]
    assert [chunk["usage"]["completion_tokens"] for chunk in found] == [1, 2, 3, 3]
    assert [chunk["usage"]["total_tokens"] for chunk in found] == [4, 5, 6, 6]
    assert [len(chunk["choices"]) for chunk in found] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("suffix", "end"), ("best_of", 2), ("logprobs", 6), ("max_tokens", 0)],
)
async def test_what_is_not_served_is_named(field: str, value: Any) -> None:
    response = await posted(Family(), **{field: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == field
