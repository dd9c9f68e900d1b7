"""vLLM's routes beside OpenAI's API."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore
from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.generation import ChatMessage
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankRequest, RerankResult
from deployments.seam.tokenization import (
    DetokenizeRequest,
    DetokenizeResult,
    TokenizeRequest,
    TokenizeResult,
)
from tests.serve_app.ingress.routes.huggingface.hub import MODEL, WINDOW
from tests.serve_app.ingress.routes.other import post, sent
from tests.serve_app.local_handle import Family

VECTORS = np.asarray([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
RANKING = (LabelScore("good", 0.75), LabelScore("bad", 0.25))
LABELS = ("bad", "good")


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
async def test_one_text_is_scored_with_several(path: str) -> None:
    family = Family(RerankResult((2.0, 0.0), (3, 4)))
    body = {"model": MODEL, "text_1": "q", "text_2": ["a", "b"], "truncate_prompt_tokens": -1}
    answer = await post(family, "rerank", path, body)
    assert [each["score"] for each in answer["data"]] == [pytest.approx(0.8808, abs=1e-4), 0.5]
    assert (answer["usage"]["prompt_tokens"], answer["model"]) == (7, MODEL)
    assert family.asked == [RerankRequest(MODEL, "q", ("a", "b"), True)]


async def test_texts_are_scored_pair_by_pair_with_one_call_for_each_first_text() -> None:
    family = Family(RerankResult((0.0, 1.0), (3, 4)), RerankResult((2.0,), (5,)))
    body = {"text_1": ["q", "r", "q"], "text_2": ["a", "b", "c"]}
    answer = await post(family, "rerank", "/score", body)
    scores = [each["score"] for each in answer["data"]]
    assert scores == [0.5, pytest.approx(0.8808, abs=1e-4), pytest.approx(0.7311, abs=1e-4)]
    assert [request.documents for request in family.asked] == [("a", "c"), ("b",)]


async def test_vectors_are_scored_by_their_cosine() -> None:
    family = Family(EmbeddingResult(VECTORS, (2, 2, 2)))
    answer = await post(family, "embed", "/score", {"text_1": "a", "text_2": ["b", "c"]})
    assert [each["score"] for each in answer["data"]] == [1.0, 0.0]


async def test_classes_are_in_the_order_of_the_models_outputs() -> None:
    family = Family(ClassificationResult((RANKING, RANKING), (2, 3), LABELS))
    answer = await post(family, "sentiment", "/classify", {"input": ["a", "b"]})
    first, _ = answer["data"]
    assert first == {"index": 0, "label": "good", "probs": [0.25, 0.75], "num_classes": 2}
    assert answer["usage"]["total_tokens"] == 5
    raw = Family(ClassificationResult((RANKING,), (2,), LABELS))
    await post(raw, "topic", "/classify", {"input": "a", "use_activation": False})
    assert raw.asked == [ClassificationRequest(MODEL, ("a",), False, "none")]


async def test_a_model_that_embeds_pools_vectors_and_a_classifier_probabilities() -> None:
    vectors = await post(
        Family(EmbeddingResult(VECTORS, (1, 1, 1))), "embed", "/pooling", {"input": ["a", "b", "c"]}
    )
    assert [each["data"] for each in vectors["data"]] == VECTORS.tolist()
    body = {"input": "a", "encoding_format": "base64"}
    family = Family(ClassificationResult((RANKING,), (2,), LABELS))
    (pooled,) = (await post(family, "sentiment", "/pooling", body))["data"]
    assert np.frombuffer(base64.b64decode(pooled["data"]), "<f4").tolist() == [0.25, 0.75]


async def test_a_prompt_and_a_chat_are_tokenized() -> None:
    result = TokenizeResult((5, 6), ("a", "b"), 99)
    family = Family(result, result)
    body = {"prompt": "ab", "add_special_tokens": False, "return_token_strs": True}
    answer = await post(family, "generate chat", "/tokenize", body)
    shown = {"count": 2, "max_model_len": WINDOW, "tokens": [5, 6], "token_strs": ["a", "b"]}
    assert answer == shown
    chat = {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True}
    assert await post(family, "generate chat", "/tokenize", chat) == shown | {"token_strs": None}
    assert family.asked == [
        TokenizeRequest(MODEL, prompt="ab", special_tokens=False),
        TokenizeRequest(MODEL, messages=(ChatMessage("user", "Hi"),)),
    ]


async def test_tokens_are_read_as_text() -> None:
    family = Family(DetokenizeResult("ab"))
    assert await post(family, "generate", "/detokenize", {"tokens": [5, 6]}) == {"prompt": "ab"}
    assert family.asked == [DetokenizeRequest(MODEL, (5, 6))]


@pytest.mark.parametrize(
    ("path", "tasks", "body", "param"),
    [
        ("/score", "rerank", {"text_1": ["a", "b"], "text_2": ["c"]}, "text_1"),
        ("/score", "rerank", {"text_1": " ", "text_2": ["c"]}, "text_1"),
        ("/score", "rerank", {"text_1": "q", "text_2": ["a", " "]}, "text_2.1"),
        (
            "/score",
            "rerank",
            {"text_1": [str(i) for i in range(65)], "text_2": ["a"] * 65},
            "text_1",
        ),
        ("/score", "embed", {"text_1": "q", "text_2": ["a", ""]}, "text_2.1"),
        ("/classify", "sentiment", {"input": ["a", ""]}, "input.1"),
        ("/classify", "sentiment", {"input": ""}, "input.0"),
        ("/pooling", "sentiment", {"input": "a", "dimensions": 2}, "dimensions"),
        ("/tokenize", "chat", {"inputs": "TEI's"}, "inputs"),
        ("/tokenize", "chat", {"messages": [], "prompt": "a"}, "messages"),
        ("/detokenize", "generate", {"tokens": [-1]}, "tokens.0"),
    ],
)
async def test_what_cannot_be_read_is_named_in_openais_words(
    path: str, tasks: str, body: dict[str, Any], param: str
) -> None:
    results = {
        "rerank": RerankResult((1.0,), (2,)),
        "embed": EmbeddingResult(VECTORS[:2], (1, 1)),
        "sentiment": ClassificationResult((RANKING,), (2,), LABELS),
    }
    response = await sent(Family(results.get(tasks)), tasks, path, body)
    assert response.status_code == 400, response.text
    assert (
        param in response.json()["error"]["message"] or response.json()["error"]["param"] == param
    )


async def test_a_token_that_the_model_does_not_know_is_named() -> None:
    problem = Problem("validation", "the model has no token 9", "tokens")
    response = await sent(Family(problem), "generate", "/detokenize", {"tokens": [9]})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "tokens")
