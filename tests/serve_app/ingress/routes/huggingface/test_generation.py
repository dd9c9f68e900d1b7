"""Text generation in TGI's words: defaults, parameters, details, events, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    Grammar,
    Sampling,
    Token,
    TokenChunk,
    TokenLogprob,
)
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.local_handle import Family

TASKS = "generate chat summarize"


def token(position: int, text: str, logprob: float = -0.5, choice: int = 0, **more: Any) -> Token:
    top = ((" x", -0.25, b" x"), ("<end>", -3.0, b"<end>"))
    detail = TokenLogprob(text, logprob, text.encode(), top, (7, 9), frozenset({9}))
    return Token(choice, position, 100 + position, text, logprob=detail, **more)


def two_tokens() -> Family:
    last = token(1, "", -0.125, finish_reason="stop", special=True)
    return Family([TokenChunk(3, (token(0, " Paris"),)), TokenChunk(3, (last,))])


async def reaching(engine: str = "torch", **parameters: Any) -> GenerationRequest:
    """The request that reaches the family."""
    family = Family(GenerationResult(3, (GeneratedSequence(" Paris", "stop", 2),)))
    body = {"inputs": "The capital is", "parameters": parameters}
    await hub.post(family, TASKS, body, engine=engine)
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request


async def test_what_is_not_said_is_as_tgi_says() -> None:
    request = await reaching()
    assert request.sampling == Sampling(temperature=0.0, seed=request.sampling.seed)
    assert (request.prompt, request.max_new_tokens) == ("The capital is", 100)
    assert (request.choices, request.stop, request.keep_last) == (1, (), None)


async def test_what_is_said_is_what_reaches_the_model() -> None:
    sampling: dict[str, Any] = {
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.9,
        "repetition_penalty": 1.25,
        "frequency_penalty": 0.5,
        "seed": 11,
    }
    request = await reaching(max_new_tokens=7, stop=["\n"], truncate=2, **sampling)
    assert request.sampling == Sampling(**sampling)
    assert (request.max_new_tokens, request.stop, request.keep_last) == (7, ("\n",), 2)


@pytest.mark.parametrize(
    ("parameters", "temperature"),
    [
        ({"do_sample": True}, 1.0),
        ({"temperature": 0.7}, 0.7),
        ({"top_k": 5}, 1.0),
        ({"top_p": 0.5}, 1.0),
        ({"top_k": 0, "top_p": 1.0}, 0.0),
        ({"do_sample": False, "temperature": 0.7}, 0.0),
    ],
)
async def test_sampling_is_said_or_implied(parameters: dict[str, Any], temperature: float) -> None:
    assert (await reaching(**parameters)).sampling.temperature == temperature


async def test_both_names_of_stop_strings_are_known() -> None:
    assert (await reaching(stop_sequences=["END"])).stop == ("END",)


async def test_a_text_ends_with_what_stopped_it() -> None:
    family = Family(GenerationResult(3, (GeneratedSequence(" Paris", "stop", 2, stop_string="."),)))
    body = {"inputs": "It is", "parameters": {"stop": ["."], "return_full_text": True}}
    assert await hub.post(family, TASKS, body) == [{"generated_text": "It is Paris."}]


async def test_details_show_every_token() -> None:
    body = {"inputs": "It is", "parameters": {"details": True, "top_n_tokens": 2}}
    (answer,) = await hub.post(two_tokens(), TASKS, body)
    top = [
        {"id": 7, "text": " x", "logprob": -0.25, "special": False},
        {"id": 9, "text": "<end>", "logprob": -3.0, "special": True},
    ]
    assert answer == {
        "generated_text": " Paris",
        "details": {
            "finish_reason": "eos_token",
            "generated_tokens": 2,
            "seed": None,
            "prefill": [],
            "tokens": [
                {"id": 100, "text": " Paris", "logprob": -0.5, "special": False},
                {"id": 101, "text": "", "logprob": -0.125, "special": True},
            ],
            "top_tokens": [top, top],
        },
    }


async def test_a_stream_has_one_event_a_token_and_the_whole_at_its_end() -> None:
    last = token(1, "", finish_reason="stop", stop_string="\n")
    family = Family([TokenChunk(3, (token(0, " Paris"), last))])
    body = {"inputs": "It is", "parameters": {"do_sample": True, "seed": 5}, "stream": True}
    async with hub.client(family, *TASKS.split()) as client:
        response = await client.post(hub.MODEL, json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    first, second = [data for _, data in house.events(response.text)]
    assert first == {
        "index": 1,
        "token": {"id": 100, "text": " Paris", "logprob": -0.5, "special": False},
        "generated_text": None,
        "details": None,
    }
    assert (second["index"], second["token"]["text"]) == (2, "\n")
    assert second["generated_text"] == " Paris\n"
    assert second["details"] == {
        "finish_reason": "stop_sequence",
        "generated_tokens": 2,
        "seed": 5,
        "input_length": 3,
    }


async def test_the_likeliest_of_several_is_the_answer() -> None:
    unlikely = token(0, " no", -4.0, 0, finish_reason="length")
    likely = token(0, " yes", -1.0, 1, finish_reason="length")
    body = {"inputs": "?", "parameters": {"best_of": 2, "do_sample": True, "details": True}}
    (answer,) = await hub.post(Family([TokenChunk(1, (unlikely, likely))]), TASKS, body)
    assert answer["generated_text"] == " yes"
    (other,) = answer["details"]["best_of_sequences"]
    assert (other["generated_text"], other["finish_reason"]) == (" no", "length")


async def test_a_stream_that_breaks_ends_with_an_error_that_the_client_raises() -> None:
    broken = Problem("unavailable", "the model is restarting")
    family = Family([TokenChunk(3, (token(0, " Paris"),)), broken])
    async with hub.client(family, *TASKS.split()) as client:
        response = await client.post(hub.MODEL, json={"inputs": "It is", "stream": True})
    *_, (_, last) = house.events(response.text)
    assert (last["error"], last["error_type"]) == ("the model is restarting", "generation")


async def test_a_stream_that_never_begins_is_an_ordinary_error() -> None:
    family = Family([Problem("validation", "no room", "max_new_tokens")])
    response = await hub.refused(family, TASKS, {"inputs": "It is", "stream": True})
    assert response.status_code == 400
    assert response.json()["details"]["field_errors"] == {"parameters.max_new_tokens": "no room"}


@pytest.mark.parametrize(
    ("field", "parameters"),
    [
        ("adapter_id", {"adapter_id": "lora"}),
        ("decoder_input_details", {"decoder_input_details": True}),
        ("typical_p", {"typical_p": 1.5}),
        ("watermark", {"watermark": True}),
        ("best_of", {"best_of": 2}),
        ("best_of", {"best_of": 17, "do_sample": True}),
        ("temperature", {"temperature": 2.5}),
        ("max_new_tokens", {"max_new_tokens": 0}),
        ("max_new_tokens", {"max_new_tokens": hub.WINDOW + 1}),
        ("stop_sequences", {"stop": ["a"], "stop_sequences": ["b"]}),
        ("grammar.type", {"grammar": {"type": "bnf", "value": "a"}}),
        ("grammar.value", {"grammar": {"type": "json", "value": '{"a":' * 50_000}}),
        ("tempreature", {"tempreature": 1}),
    ],
)
async def test_what_cannot_be_honoured_is_named(field: str, parameters: dict[str, Any]) -> None:
    body = {"inputs": "It is", "parameters": parameters}
    response = await hub.refused(Family(), TASKS, body)
    assert response.status_code == 400, response.text
    assert response.json()["error_type"] == "validation"
    assert list(response.json()["details"]["field_errors"]) == [f"parameters.{field}"]


@pytest.mark.parametrize(
    "off",
    [
        {"watermark": False},
        {"adapter_id": None},
        {"typical_p": 1.0, "do_sample": True},
        {"typical_p": 0.95, "do_sample": False},
        {"typical_p": 0.95},
        {"typical_p": 0.95, "temperature": 0.0},
        {"typical_p": 0.95, "do_sample": True, "top_k": 1},
        {"stop": ""},
        {"stop_sequences": "", "stop": ["end"]},
    ],
)
async def test_what_asks_for_nothing_is_accepted(off: dict[str, Any]) -> None:
    assert (await reaching("openvino", **off)).prompt


async def test_typical_sampling_reaches_an_engine_that_has_it() -> None:
    assert (await reaching(typical_p=0.5, do_sample=True)).sampling.typical_p == 0.5


@pytest.mark.parametrize(
    "parameters",
    [
        {"top_n_tokens": 2},
        {"frequency_penalty": 0.5},
        {"typical_p": 0.5, "do_sample": True},
        {"typical_p": 0.5, "temperature": 0.7},
    ],
    ids=lambda each: next(iter(each)),
)
async def test_what_the_engine_cannot_do_is_named(parameters: dict[str, Any]) -> None:
    body = {"inputs": "It is", "parameters": parameters}
    response = await hub.refused(Family(), TASKS, body, engine="openvino")
    assert response.status_code == 400
    assert f"parameters.{next(iter(parameters))}" in response.json()["details"]["field_errors"]


NUMBERS = '{"enum":[0.1234567890123456789,1e400,1376946241435750401,2.50]}'


@pytest.mark.parametrize(
    ("kind", "value", "source"),
    [
        ("json", NUMBERS, NUMBERS),
        ("json_schema", NUMBERS, NUMBERS),
        ("json_schema", f'{{"name":"x","schema":{NUMBERS}}}', NUMBERS),
        ("json", json.dumps(f" {NUMBERS}"), f" {NUMBERS}"),
        ("json", '{"type":"object"}', '{"type":"object"}'),
    ],
)
async def test_a_schema_reaches_the_model_as_it_is_written(
    kind: str, value: str, source: str
) -> None:
    family = Family(GenerationResult(3, (GeneratedSequence("1", "stop", 2),)))
    grammar = f'{{"type": "{kind}", "value": {value}}}'
    body = f'{{"inputs": "x", "parameters": {{"grammar": {grammar}}}}}'
    async with hub.client(family, "generate") as client:
        headers = {"content-type": "application/json"}
        response = await client.post(hub.MODEL, content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert family.asked[0].grammar == Grammar("json_schema", source)


async def test_a_grammar_that_breaks_in_a_stream_is_the_parameters() -> None:
    problem = Problem("validation", "no further", "grammar")
    family = Family([TokenChunk(3, (token(0, "{"),)), problem])
    grammar = {"type": "json", "value": {"type": "object"}}
    body = {"inputs": "x", "parameters": {"grammar": grammar}, "stream": True}
    response = await hub.refused(family, "generate", body)
    last = house.events(response.text)[-1][1]
    assert last["error"] == "no further"
    assert last["details"] == {"field_errors": {"parameters.grammar": "no further"}}
