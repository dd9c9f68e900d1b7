"""Every request for inference is counted once, by its model, its task and how it ended."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from ray.serve.exceptions import BackPressureError

from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import FAST, FULL, NATIVE, burst, generated
from tests.serve_app.ingress.metering.counting import (
    CHAT,
    CLASSIFY,
    GENERATE,
    HELLO,
    STREAM,
    answering,
    counted,
    requests,
)
from tests.serve_app.local_handle import FOREVER, Family

MOOD = ClassificationResult(((LabelScore("POSITIVE", 0.9),),), (7,))


async def test_nothing_is_counted_before_the_first_request() -> None:
    application = house.app()
    assert requests(await counted(application)) == {}
    body = (await house.get(application, f"{NATIVE}/performance")).json()
    assert body == {"message": "No metrics available"}


async def test_an_answer_is_a_success_of_its_model_and_task() -> None:
    application = answering(generated("there", "friend"))
    body = {"prompt": "Hi", "num_return_sequences": 2}
    response = await house.post(application, GENERATE, body)
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "success"): 1}
    assert found["inference_duration_seconds_count", FAST, "generate"] == 1
    assert found["tokens_in_total", FAST, "generate"] == 3
    assert found["tokens_out_total", FAST, "generate"] == 4
    assert found["output_length_tokens_sum", FAST, "generate"] == 4
    assert found["finished_sequences_total", FAST, "generate", "stop"] == 2
    assert found["input_length_bytes_sum", "generate"] == len(response.request.content)
    assert found["output_length_bytes_sum", "generate"] == len(response.content)
    assert not [key for key in found if key[0] == "rejections_total"]


async def test_the_task_is_the_one_a_model_was_found_for_and_the_model_the_one_named() -> None:
    vectors = EmbeddingResult(np.ones((1, 2), np.float32), (5,))
    families = {
        "generation": Family(generated("a"), generated("b")),
        "embeddings": Family(vectors, vectors),
        "classification": Family(MOOD),
    }
    application = house.app(families)
    await house.post(application, CHAT, HELLO)
    await house.post(application, "/v1/completions", {"prompt": "Hi", "model": FULL})
    await house.post(application, f"{NATIVE}/embeddings", {"texts": "a"})
    await house.post(application, "/v1/embeddings", {"input": "a"})
    await house.post(application, CLASSIFY, {"texts": "a"})
    found = await counted(application)
    assert requests(found) == {
        (FAST, "chat", "success"): 1,
        (FULL, "generate", "success"): 1,
        ("house/vectors", "embed", "success"): 2,
        ("house/mood", "sentiment", "success"): 1,
    }
    assert found["tokens_in_total", "house/vectors", "embed"] == 10
    assert found["tokens_in_total", "house/mood", "sentiment"] == 7


async def test_what_is_asked_for_besides_inference_is_not_counted() -> None:
    application = house.app()
    for path in ("/", "/health", "/metrics", "/docs", "/v1/models", f"{NATIVE}/models", GENERATE):
        await house.get(application, path)
    for path in ("/nothing", "/v1/nothing", f"{NATIVE}/nothing"):
        assert (await house.post(application, path, {})).status_code == 404
    for path in ("/v1/models", f"{NATIVE}/performance"):
        assert (await house.post(application, path, {})).status_code == 405
    assert requests(await counted(application)) == {}


@pytest.mark.parametrize(
    ("path", "body", "model", "task", "reason"),
    [
        (GENERATE, {"promt": "Hi"}, "unknown", "generate", "validation_error"),
        (GENERATE, {"prompt": "Hi", "model_name": "x/y"}, "unknown", "generate", "not_found_error"),
        (GENERATE, {"prompt": "Hi", "max_length": 2000}, FAST, "generate", "validation_error"),
        (GENERATE, {"prompt": "x" * 2000}, "unknown", "generate", "payload_too_large"),
        (CHAT, {"messages": []}, "unknown", "chat", "validation_error"),
        (CHAT, {**HELLO, "model": FAST, "logit_bias": {"1": 5}}, FAST, "chat", "validation_error"),
        (CLASSIFY, {"texts": " "}, "house/mood", "sentiment", "validation_error"),
    ],
)
async def test_bad_input_is_an_error_of_its_task_with_its_reason(
    path: str, body: dict[str, Any], model: str, task: str, reason: str
) -> None:
    application = house.app(max_body_bytes=1500)
    assert (await house.post(application, path, body)).status_code >= 400
    found = await counted(application)
    assert requests(found) == {(model, task, "error"): 1}
    assert found["rejections_total", task, reason] == 1
    assert ("inference_duration_seconds_count", FAST, task) not in found
    of_bytes = ("input_length_bytes_count", task) in found
    assert of_bytes is (reason != "payload_too_large")  # which the front refuses, unread


async def test_a_body_of_another_type_is_an_error_too() -> None:
    application = house.app()
    response = await house.post(application, GENERATE, {}, **{"content-type": "text/plain"})
    assert response.status_code == 415
    found = await counted(application)
    assert found["rejections_total", "generate", "unsupported_media_type"] == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (BackPressureError(9, 9), "rate_limit_error"),
        (Problem("unavailable", "no weights"), "service_unavailable"),
        (FOREVER, "timeout"),
        (RuntimeError("unforeseen"), "internal_error"),
    ],
)
async def test_a_failure_of_the_model_side_is_an_error_of_the_model(
    failure: Any, reason: str
) -> None:
    application = house.app({"generation": Family(failure)}, request_timeout_s=0.05)
    assert (await house.post(application, GENERATE, {"prompt": "Hi"})).status_code >= 429
    found = await counted(application)
    assert requests(found) == {(FAST, "generate", "error"): 1}
    assert found["rejections_total", "generate", reason] == 1
    assert ("inference_duration_seconds_count", FAST, "generate") not in found


async def test_a_list_with_a_bad_item_is_a_success() -> None:
    application = house.app({"classification": Family(MOOD)})
    response = await house.post(application, CLASSIFY, {"texts": ["good", ""]})
    assert response.status_code == 200
    assert requests(await counted(application)) == {("house/mood", "sentiment", "success"): 1}


async def test_a_hundred_at_once_are_a_hundred() -> None:
    streams = [[burst("a"), burst("b", at=1, finish="stop")] for _ in range(40)]
    families = {
        "generation": Family(*streams),
        "classification": Family(*[MOOD] * 40),
    }
    application = house.app(families)
    posts = [house.post(application, STREAM, {"prompt": "Hi"}) for _ in range(40)]
    posts += [house.post(application, CLASSIFY, {"texts": "a"}) for _ in range(40)]
    posts += [house.post(application, CLASSIFY, {"text": "a"}) for _ in range(20)]
    await asyncio.gather(*posts)
    expected = {
        (FAST, "generate", "success"): 40,
        ("house/mood", "sentiment", "success"): 40,
        ("unknown", "sentiment", "error"): 20,
    }
    assert requests(await counted(application)) == expected
    body = (await house.get(application, f"{NATIVE}/performance")).json()
    assert body["total_requests"] == 100
    assert body["success_rate"] == 80.0
    assert body["model_usage"] == {FAST: 40, "house/mood": 40, "unknown": 20}
    assert body["task_usage"] == {"generate": 40, "sentiment": 60}
    assert 0 < body["min_inference_time"] <= body["average_inference_time"]
    assert body["average_inference_time"] <= body["max_inference_time"]


async def test_openmetrics_are_there_for_those_who_ask() -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response = await house.get(house.app(), "/metrics", accept=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_no_post_of_the_application_is_left_uncounted_by_oversight() -> None:
    application = house.app()
    paths, purpose_of = application.openapi()["paths"], application.state.purposes.of
    posts = [path for path, operations in paths.items() if "post" in operations]
    assert len(posts) > 8
    uncounted = [path for path in posts if purpose_of("POST", path) is None]
    assert uncounted == [f"{NATIVE}/models/{{model_name}}"]  # an order, not inference
    assert purpose_of("POST", f"{NATIVE}/models/org/name") is None
    assert purpose_of("GET", GENERATE) is None
