"""OpenAI's embeddings: its encodings, and its names for what the model side refuses."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from deployments.seam.embeddings import EmbeddingRequest, EmbeddingResult
from deployments.seam.problems import Problem, ProblemKind
from tests.serve_app import house
from tests.serve_app.local_handle import Family

VECTORS = np.asarray([[0.6, 0.8], [1.0, 0.0]], np.float32)


async def posted(answer: Any, **body: Any) -> httpx.Response:
    application = house.app({"embeddings": Family(answer)})
    return await house.post(application, "/v1/embeddings", body)


async def test_vectors_come_in_order_with_usage() -> None:
    body = (await posted(EmbeddingResult(VECTORS, (2, 3)), input=["a", "b"])).json()
    assert [item["index"] for item in body["data"]] == [0, 1]
    assert np.allclose([item["embedding"] for item in body["data"]], VECTORS)
    assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert (body["object"], body["model"]) == ("list", "house/vectors")


async def test_base64_is_little_endian_float32() -> None:
    answer = EmbeddingResult(VECTORS, (2, 3))
    body = (await posted(answer, input=["a", "b"], encoding_format="base64")).json()
    raw = [base64.b64decode(item["embedding"]) for item in body["data"]]
    assert np.array_equal([np.frombuffer(vector, "<f4") for vector in raw], VECTORS)


async def test_dimensions_reach_the_model_and_are_named_when_there_are_not_so_many() -> None:
    family = Family(Problem("validation", "only 2", "dimensions"))
    application = house.app({"embeddings": family})
    response = await house.post(application, "/v1/embeddings", {"input": "a", "dimensions": 3})
    assert family.asked == [EmbeddingRequest("house/vectors", ("a",), dimensions=3)]
    assert response.json()["error"]["param"] == "dimensions"


@pytest.mark.parametrize(
    ("body", "param"), [({"input": ["a", " "]}, "input.1"), ({"input": ""}, "input")]
)
async def test_a_text_at_fault_is_named_as_openai_calls_it(
    body: dict[str, Any], param: str
) -> None:
    response = await posted(EmbeddingResult(VECTORS[:1], (1,), {}), **body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("given", [[87, 12], [[87, 12], [5]], [[0]], [7, "a"]])
async def test_token_ids_are_refused_with_what_to_do_about_it(given: Any) -> None:
    response = await posted(None, input=given)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "input")
    assert "check_embedding_ctx_length=False" in error["message"]
    assert error["message"].count("input") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, "input: expected a string"),
        ("", "input: expected at least 1 character"),
        ([], "input: expected at least 1 item"),
        (["a", 7, "b", None], "input.1: expected a string"),
    ],
)
async def test_only_what_was_meant_is_complained_about(given: Any, message: str) -> None:
    response = await posted(None, input=given)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == message


async def test_a_problem_with_the_model_is_named_as_openai_calls_it() -> None:
    response = await posted(Problem("not_found", "no longer served", "model"), input="a")
    assert (response.status_code, response.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize(
    ("other", "code"),
    [("context_length", "context_length_exceeded"), ("internal", "invalid_value")],
)
async def test_texts_that_are_too_long_have_the_code_of_chats_that_are(
    other: ProblemKind, code: str
) -> None:
    long = "the text has 600 tokens. This model's maximum context length is 512 tokens"
    problems = {0: Problem("context_length", long), 1: Problem(other, "no")}
    answer = await posted(EmbeddingResult(VECTORS, (2, 3), problems), input=["a", "b"])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, "input.0")
    assert "maximum context length is 512 tokens" in error["message"]
