"""Native generation: what reaches the model, and what becomes of its tokens."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import RayActorError, RayError

from deployments.seam.generation import GenerationRequest, Sampling, Token
from deployments.seam.problems import Problem
from serve_app.ingress.routes.native_events import token_event
from serve_app.ingress.streams import event
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, WINDOW, burst, events, generated
from tests.serve_app.local_handle import FOREVER, Family, happens

SECRET = "/home/inside/model.py line 7"
REFUSED = Problem("validation", "the prompt fills the window", "prompt")
LOST = RayActorError(error_msg=SECRET)


async def reaching(body: dict[str, Any], path: str = "/generate", **settings: Any) -> Any:
    """The request that reaches the family."""
    streams = path.endswith("/stream") or body.get("stream", False)
    family = Family([burst("a", finish="stop")] if streams else generated("a"))
    application = house.app({"generation": family}, **settings)
    response = await house.post(application, NATIVE + path, {"prompt": "Hi", **body})
    assert response.status_code == 200, response.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request


async def streamed(*answers: list[Any]) -> list[tuple[str, Any]]:
    application = house.app({"generation": Family(*answers)})
    response = await house.post(application, f"{NATIVE}/generate/stream", {"prompt": "Hi"})
    assert response.status_code == 200, response.text
    return events(response.text)


@pytest.mark.parametrize("path", ["/generate", "/generate/stream"])
async def test_what_is_not_said_is_as_the_settings_say(path: str) -> None:
    request = await reaching({}, path)
    seed = request.sampling.seed
    assert request.sampling == Sampling(0.8, 0.9, 50, 1.1, seed=seed)
    assert (request.prompt, request.model, request.choices, request.stop) == ("Hi", FAST, 1, ())
    other = await reaching({}, path, temperature=0.5, top_p=0.4, top_k=3, repetition_penalty=1.2)
    assert other.sampling == Sampling(0.5, 0.4, 3, 1.2, seed=other.sampling.seed)


async def test_what_is_said_is_what_reaches_the_model() -> None:
    request = await reaching(
        {
            "temperature": 1.5,
            "top_p": 0.5,
            "top_k": 7,
            "repetition_penalty": 1.3,
            "seed": 11,
            "stop": ["a", "b"],
            "num_return_sequences": 3,
            "model_name": FULL,
        }
    )
    assert request.sampling == Sampling(1.5, 0.5, 7, 1.3, seed=11)
    assert (request.stop, request.choices, request.model) == (("a", "b"), 3, FULL)


async def test_an_explicit_zero_is_a_value() -> None:
    request = await reaching({"temperature": 0, "top_k": 0, "seed": 0})
    assert (request.sampling.temperature, request.sampling.top_k) == (0.0, 0)
    assert request.sampling.seed == 0


async def test_without_sampling_the_choice_is_greedy() -> None:
    assert (await reaching({"do_sample": False, "temperature": 1.5})).sampling.greedy


async def test_there_is_always_a_seed_and_never_twice_the_same() -> None:
    seeds = {(await reaching({})).sampling.seed for _ in range(5)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


async def test_a_negative_seed_is_one_as_well() -> None:
    assert (await reaching({"seed": -1})).sampling.seed == 2**63 - 1


@pytest.mark.parametrize(
    ("path", "body", "max_new_tokens", "max_length"),
    [
        ("/generate", {}, None, 512),
        ("/generate", {"max_new_tokens": 7}, 7, None),
        ("/generate", {"max_length": 70}, None, 70),
        ("/generate", {"max_length": 70, "max_new_tokens": 7}, 7, 70),
        ("/generate", {"stream": True}, 256, None),
        ("/generate/stream", {}, 256, None),
        ("/generate/stream", {"stream": False}, 256, None),
        ("/generate/stream", {"max_length": 70}, None, 70),
        ("/generate/stream", {"max_new_tokens": 7}, 7, None),
    ],
)
async def test_lengths_have_their_routes_defaults(
    path: str, body: dict[str, Any], max_new_tokens: int | None, max_length: int | None
) -> None:
    request = await reaching(body, path)
    assert (request.max_new_tokens, request.max_length) == (max_new_tokens, max_length)


async def test_default_lengths_are_the_settings() -> None:
    assert (await reaching({}, max_length=33)).max_length == 33
    stream = await reaching({}, "/generate/stream", stream_max_new_tokens=44)
    assert stream.max_new_tokens == 44


async def test_the_answer_is_whole() -> None:
    application = house.app({"generation": Family(generated(" a text \n", finish="length"))})
    path = f"{NATIVE}/generate"
    response = await house.post(application, path, {"prompt": "Hi"}, **{"x-request-id": "abc"})
    body = response.json()
    assert body.pop("execution_time") >= 0
    assert body == {
        "generated_text": "a text",
        "finish_reason": "length",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "model": FAST,
        "request_id": "abc",
    }


async def test_several_sequences_come_together() -> None:
    application = house.app({"generation": Family(generated("a", "b"))})
    body = {"prompt": "Hi", "num_return_sequences": 2}
    answer = (await house.post(application, f"{NATIVE}/generate", body)).json()
    assert (answer["generated_text"], answer["generated_texts"]) == ("a", ["a", "b"])
    assert answer["usage"]["completion_tokens"] == 4


async def test_a_stream_is_one_event_a_token_and_then_the_result() -> None:
    found = await streamed([burst(" a"), burst("", "b", at=1, finish="length")])
    tokens = [data for name, data in found if name == "token"]
    assert tokens == [
        {"sequence_index": 0, "text_delta": " a", "token_id": 100, "finish_reason": None},
        {"sequence_index": 1, "text_delta": "", "token_id": 101, "finish_reason": None},
        {"sequence_index": 2, "text_delta": "b", "token_id": 102, "finish_reason": "length"},
    ]
    assert [name for name, _ in found] == ["token"] * 3 + ["result"]
    result = found[-1][1]
    assert (result["generated_text"], result["finish_reason"]) == ("ab", "length")
    assert result["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert {"model", "request_id", "execution_time"} <= set(result)


@pytest.mark.parametrize("text", ["a", "", "é 🙂", '"\\\n\r\u2028</', "%d"])
@pytest.mark.parametrize("reason", [None, "stop", "length"])
def test_a_tokens_event_is_framed_as_every_other(text: str, reason: Any) -> None:
    token = Token(0, 7, 2**40, text, reason)
    data = {
        "sequence_index": 7,
        "text_delta": text,
        "token_id": 2**40,
        "finish_reason": reason,
    }
    assert token_event(token) == event("token", data)


async def test_the_tokens_of_one_burst_travel_in_one_chunk() -> None:
    family = Family([burst("a"), burst("b", "c", "d", at=1, finish="stop")])
    application = house.app({"generation": family})
    connection = house.Connection(application, f"{NATIVE}/generate/stream", {"prompt": "Hi"})
    await connection.done
    counts = [chunk.count(b"event: token") for chunk in connection.chunks]
    assert counts == [1, 3, 0]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Problem("unavailable", "no memory left"), "service_unavailable"),
        (Problem("internal", SECRET), "internal_error"),
        (RayError(SECRET), "internal_error"),
    ],
)
async def test_a_stream_that_breaks_ends_with_one_error_event(failure: Any, code: str) -> None:
    found = await streamed([burst("a"), failure])
    assert [name for name, _ in found] == ["token", "error"]
    error = found[-1][1]
    assert set(error) == {"error", "code", "request_id"}
    assert error["code"] == code
    assert SECRET not in error["error"]


async def test_a_stream_whose_replicas_are_all_lost_ends_with_one_error_event() -> None:
    found = await streamed([burst("a"), LOST], [LOST], [LOST])
    assert [name for name, _ in found] == ["token", "error"]
    assert found[-1][1]["code"] == "service_unavailable"


async def test_a_stream_that_ends_before_its_last_token_is_an_error_not_a_result() -> None:
    found = await streamed([burst("a")])
    assert [name for name, _ in found] == ["token", "error"]


async def test_a_stream_that_goes_on_elsewhere_shows_no_seam() -> None:
    found = await streamed([burst("a"), LOST], [burst("b", at=1, finish="stop")])
    assert [name for name, _ in found] == ["token", "token", "result"]
    assert found[-1][1]["generated_text"] == "ab"


@pytest.mark.parametrize("path", ["/generate", "/generate/stream"])
async def test_a_failure_before_the_first_token_is_an_ordinary_error(path: str) -> None:
    answer: Any = [REFUSED] if path.endswith("stream") else REFUSED
    application = house.app({"generation": Family(answer)})
    response = await house.post(application, NATIVE + path, {"prompt": "Hi"})
    assert response.status_code == 400
    assert response.json()["details"]["field_errors"] == {"prompt": REFUSED.message}


async def test_a_client_that_leaves_stops_the_generation() -> None:
    family = Family([burst("a"), FOREVER])
    application = house.app({"generation": family})
    connection = house.Connection(application, f"{NATIVE}/generate/stream", {"prompt": "Hi"})
    await happens(connection.first_chunk)
    assert not family.stopped.is_set()
    connection.left.set()
    await happens(family.stopped)
    await connection.done


@pytest.mark.parametrize("path", ["/generate", "/generate/stream"])
@pytest.mark.parametrize("name", ["no/such", "house/vectors"])
async def test_a_model_that_does_not_generate_is_a_404_that_lists_those_that_do(
    path: str, name: str
) -> None:
    body = {"prompt": "Hi", "model_name": name}
    response = await house.post(house.app(), NATIVE + path, body)
    assert response.status_code == 404
    assert response.json()["details"]["available"] == [FAST, FULL]


@pytest.mark.parametrize("field", ["max_length", "max_new_tokens"])
async def test_a_length_beyond_the_window_is_named(field: str) -> None:
    body = {"prompt": "Hi", field: WINDOW + 1}
    response = await house.post(house.app(), f"{NATIVE}/generate", body)
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == [field]


async def test_several_sequences_in_a_stream_are_refused_by_name() -> None:
    body = {"prompt": "Hi", "num_return_sequences": 2}
    response = await house.post(house.app(), f"{NATIVE}/generate/stream", body)
    assert list(response.json()["details"]["field_errors"]) == ["num_return_sequences"]
