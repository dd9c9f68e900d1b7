"""Chats: OpenAI's defaults and shapes, and the model side's words under OpenAI's names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from deployments.seam.generation import (
    ChatMessage,
    GeneratedSequence,
    GenerationResult,
    Sampling,
    TokenLogprob,
)
from deployments.seam.problems import Problem, over_window
from tests.serve_app.house import FAST, FULL, WINDOW, generated
from tests.serve_app.ingress.routes.openai.chat_calls import posted, reaching
from tests.serve_app.local_handle import Family


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_not_said_is_as_openai_says(stream: bool) -> None:
    request = await reaching(stream=stream)
    assert request.sampling == Sampling(seed=request.sampling.seed)
    assert (request.max_new_tokens, request.max_length) == (None, None)
    assert (request.choices, request.stop, request.prompt) == (1, (), None)
    assert request.messages == (ChatMessage("user", "Hi"),)


async def test_null_is_the_default_as_well() -> None:
    fields = ("temperature", "top_p", "n", "stop", "seed", "max_tokens", "stream", "logprobs")
    request = await reaching(**dict.fromkeys(fields))
    assert request.sampling == Sampling(seed=request.sampling.seed)


async def test_what_is_said_is_what_reaches_the_model() -> None:
    request = await reaching(
        model=FULL,
        temperature=0,
        top_p=0.5,
        top_k=7,
        repetition_penalty=1.3,
        frequency_penalty=-1.5,
        presence_penalty=0.5,
        logit_bias={"42": -100},
        logprobs=True,
        top_logprobs=3,
        seed=11,
        stop="end",
        n=2,
        max_tokens=9,
    )
    assert request.sampling == Sampling(0.0, 0.5, 7, 1.3, -1.5, 0.5, {42: -100.0}, True, 3, 11)
    assert (request.stop, request.choices, request.max_new_tokens) == (("end",), 2, 9)
    assert request.model == FULL


async def test_there_is_always_a_seed() -> None:
    seeds = {(await reaching()).sampling.seed for _ in range(5)}
    assert len(seeds) == 5


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_both_names_of_the_bound_are_read(field: str) -> None:
    assert (await reaching(**{field: 5})).max_new_tokens == 5


async def test_both_bounds_are_taken_where_they_are_the_same() -> None:
    assert (await reaching(max_tokens=5, max_completion_tokens=5)).max_new_tokens == 5
    response = await posted(Family(), max_tokens=5, max_completion_tokens=6)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "max_tokens"


NEUTRAL: dict[str, Any] = {
    "top_k": -1,
    "min_p": 0,
    "ignore_eos": False,
    "min_tokens": 0,
    "stop": "",
    "chat_template_kwargs": {},
    "structured_outputs": {},
}
"""Fields that do something at other values. The compatibility table's test has the rest."""


async def test_values_that_ask_for_nothing_have_no_effect() -> None:
    plain = await reaching(seed=1)
    for field, value in NEUTRAL.items():
        request = await reaching(seed=1, **{field: value})
        assert replace(request, request_id=plain.request_id) == plain, field


async def test_every_field_that_openai_documents_may_be_null() -> None:
    given = set(CompletionCreateParamsBase.__annotations__) - {"messages", "model"}
    await reaching(**dict.fromkeys(given))


async def test_fields_of_other_servers_reach_the_model() -> None:
    request = await reaching(
        min_p=0.25, min_tokens=3, ignore_eos=True, max_tokens=9, truncate_prompt_tokens=-1
    )
    assert (request.sampling.min_p, request.min_new_tokens, request.ignore_eos) == (0.25, 3, True)
    assert (request.truncate, request.keep_last) == (True, None)
    assert (await reaching(truncate_prompt_tokens=9)).keep_last == 9


async def test_variables_of_the_chat_template_reach_it_as_json() -> None:
    request = await reaching(chat_template_kwargs={"enable_thinking": False, "depth": [1, "é"]})
    assert json.loads(request.template_variables) == {"enable_thinking": False, "depth": [1, "é"]}


@pytest.mark.parametrize(
    ("field", "variables"),
    [
        ("chat_template_kwargs.messages", {"messages": []}),
        ("chat_template_kwargs.tools", {"tools": []}),
        ("chat_template_kwargs.add_generation_prompt", {"add_generation_prompt": False}),
        ("chat_template_kwargs.chat_template", {"chat_template": "{{ 1 }}"}),
        ("chat_template_kwargs.a b", {"a b": 1}),
        ("chat_template_kwargs", dict.fromkeys((f"v{i}" for i in range(33)), 1)),
        ("chat_template_kwargs", {"text": "x" * 200_000}),
    ],
)
async def test_variables_of_the_template_are_bounded(field: str, variables: Any) -> None:
    response = await posted(Family(), chat_template_kwargs=variables)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(field)


async def test_a_chat_over_the_window_is_told_in_the_words_that_clients_look_for() -> None:
    problem = Problem("context_length", f"{over_window(9)}; the prompt has 12", "prompt")
    error = (await posted(Family(problem))).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["message"].startswith("This model's maximum context length is 9 tokens; ")
    assert (error["type"], error["param"]) == ("invalid_request_error", "messages")
    error = (await posted(Family(), max_tokens=WINDOW + 1)).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "max_tokens")
    assert f"maximum context length is {WINDOW} tokens" in error["message"]


@pytest.mark.parametrize(
    ("field", "given", "name"),
    [
        ("max_new_tokens", {"max_completion_tokens": 5}, "max_completion_tokens"),
        ("max_new_tokens", {"max_tokens": 5}, "max_tokens"),
        ("prompt", {}, "messages"),
        ("logit_bias", {"model": FULL, "logit_bias": {"1": 1}}, "logit_bias"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_problems_field_has_openais_name(
    field: str, given: dict[str, Any], name: str, stream: bool
) -> None:
    problem = Problem("validation", "not like this", field)
    response = await posted(Family([problem] if stream else problem), stream=stream, **given)
    assert response.status_code == 400
    assert response.json()["error"] == {
        "message": "not like this",
        "type": "invalid_request_error",
        "param": name,
        "code": "invalid_value",
    }


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("logit_bias", {"logit_bias": {"1": 5}}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 2}),
        ("frequency_penalty", {"frequency_penalty": 0.5}),
        ("presence_penalty", {"presence_penalty": -0.5}),
        ("response_format", {"response_format": {"type": "json_object"}}),
    ],
)
async def test_what_this_engine_cannot_do_names_the_field_and_a_model_that_can(
    field: str, given: dict[str, Any]
) -> None:
    response = await posted(Family(), model=FAST, **given)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == field
    assert FULL in error["message"]
    assert (await reaching(model=FULL, **given)).model == FULL


async def test_a_field_that_nothing_here_honours_is_named() -> None:
    for field in ("functions", "prediction", "web_search_options", "audio", "moderation"):
        response = await posted(Family(), model=FULL, **{field: {}})
        assert response.status_code == 400
        assert response.json()["error"]["param"] == field


async def test_fields_that_change_nothing_are_taken() -> None:
    await reaching(
        user="me",
        metadata={"a": "b"},
        store=False,
        frequency_penalty=0,
        presence_penalty=0,
        logit_bias={},
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        service_tier="auto",
        modalities=["text"],
    )


async def test_an_unknown_model_is_openais_404_that_lists_those_there_are() -> None:
    response = await posted(Family(), model="no/such")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert FAST in error["message"]
    assert FULL in error["message"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_bound_beyond_the_window_is_named(field: str) -> None:
    response = await posted(Family(), **{field: WINDOW + 1})
    assert response.json()["error"]["param"] == field


async def test_the_answer_has_openais_shape() -> None:
    response = await posted(Family(generated("a", "b", finish="length")), n=2)
    body = response.json()
    assert (body["object"], body["model"]) == ("chat.completion", FAST)
    assert body["id"].startswith("chatcmpl-")
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    first = body["choices"][0]
    assert first["message"] == {"role": "assistant", "content": "a", "refusal": None}
    assert (first["finish_reason"], first["logprobs"]) == ("length", None)
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


async def test_log_probabilities_have_openais_shape() -> None:
    logprob = TokenLogprob("é", -0.5, "é".encode(), (("e", -1.0, b"e"),))
    answer = GenerationResult(3, (GeneratedSequence("é", "stop", 1, (logprob,)),))
    response = await posted(Family(answer), model=FULL, logprobs=True, top_logprobs=1)
    (content,) = response.json()["choices"][0]["logprobs"]["content"]
    assert content == {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
    }


@pytest.mark.parametrize("given", [0, -1])
async def test_top_k_is_off_at_zero_and_below(given: int) -> None:
    assert (await reaching(top_k=given)).sampling.top_k == 0
