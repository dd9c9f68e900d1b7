"""Answers, refusals and events are as the OpenAPI document describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.seam.captioning import CaptionResult
from deployments.seam.classification import ClassificationResult, LabelScore
from deployments.seam.decisions import DecisionResult
from deployments.seam.embeddings import ClusterResult, EmbeddingResult
from deployments.seam.entities import Entity, EntityResult
from deployments.seam.generation import (
    GeneratedSequence,
    GenerationResult,
    Token,
    TokenChunk,
    TokenLogprob,
)
from deployments.seam.problems import Problem
from deployments.seam.reranking import RerankResult
from deployments.seam.summarization import Summary, SummaryResult
from deployments.seam.tokenization import DetokenizeResult, TokenizeResult
from deployments.seam.vision import Detection, DetectionResult, VisualAnswer, VisualQuestionResult
from tests.serve_app import house
from tests.serve_app.house import NATIVE, generated
from tests.serve_app.ingress.documentation.documented import (
    CHAT,
    CHAT_MODEL,
    EMBEDDER,
    GENERATE,
    GOOD,
    RERANKER,
    application,
    matches,
    template,
)
from tests.serve_app.local_handle import Family

LABELS = (LabelScore("a", 0.75), LabelScore("b", 0.25))
VECTORS = np.asarray([[0.6, 0.8], [1.0, 0.0]], np.float32)
TOKENS = (
    Token(0, 0, 1, "Hi", None, TokenLogprob("Hi", -0.5, b"Hi")),
    Token(0, 1, 2, "", "stop", TokenLogprob("<end>", -0.5, b"<end>"), special=True),
)
TEXT = GenerationResult(3, (GeneratedSequence("Hi", "stop", 2),))
ANSWERS: dict[str, Any] = {
    f"{NATIVE}/generate": TEXT,
    f"{NATIVE}/query": TEXT,
    f"{NATIVE}/conversations": TEXT,
    f"{NATIVE}/conversations/ada/messages": TEXT,
    f"{NATIVE}/embeddings": EmbeddingResult(VECTORS, (1, 1)),
    f"{NATIVE}/similarity": EmbeddingResult(VECTORS, (1, 1)),
    f"{NATIVE}/search": EmbeddingResult(VECTORS, (1, 1)),
    f"{NATIVE}/cluster": ClusterResult((0, 1), VECTORS),
    f"{NATIVE}/rerank": RerankResult((0.5,), (4,)),
    f"{NATIVE}/classify": ClassificationResult((LABELS,), (1,)),
    f"{NATIVE}/topics": ClassificationResult((LABELS,), (1,)),
    f"{NATIVE}/entities": EntityResult(((Entity("NAME", 0.9, 0, 1),),), (1,)),
    f"{NATIVE}/summarize": SummaryResult((Summary("short", 9, 3),)),
    f"{NATIVE}/vision/classify": ClassificationResult((LABELS,)),
    f"{NATIVE}/vision/caption": CaptionResult("a dot", 2),
    f"{NATIVE}/vision/question": VisualQuestionResult((VisualAnswer("red", 0.9),)),
    f"{NATIVE}/vision/detect": DetectionResult((Detection("dot", 0.9, 0.0, 0.0, 1.0, 1.0),)),
    f"{NATIVE}/graph": ClassificationResult((LABELS,), (1,)),
    "/v1/chat/completions": TEXT,
    "/v1/completions": TEXT,
    "/v1/embeddings": EmbeddingResult(VECTORS[:1], (1,)),
    "/v1/rerank": RerankResult((0.5, 0.25), (4, 4)),
    "/v1/responses": TEXT,
    "/v1/messages": TEXT,
    "/v1/messages/count_tokens": TokenizeResult((1, 2), ("a", "b"), 9),
    "/v2/rerank": RerankResult((0.5, 0.25), (4, 4)),
    "/v2/embed": EmbeddingResult(VECTORS, (1, 1)),
    "/v1/embed": EmbeddingResult(VECTORS, (1, 1)),
    "/rerank": RerankResult((0.5,), (4,)),
    f"/models/{RERANKER}/rerank": RerankResult((0.5,), (4,)),
    "/embed": EmbeddingResult(VECTORS[:1], (1,)),
    f"/models/{EMBEDDER}/similarity": EmbeddingResult(VECTORS, (1, 1)),
    "/predict": ClassificationResult((LABELS,), (1,)),
    "/score": RerankResult((0.5,), (4,)),
    "/classify": ClassificationResult((LABELS,), (1,), ("b", "a")),
    "/pooling": EmbeddingResult(VECTORS[:1], (1,)),
    "/tokenize": TokenizeResult((1, 2), ("a", "b"), 9),
    "/detokenize": DetokenizeResult("a"),
    "/v1/systemone": DecisionResult(({"true": 0.5, "false": 0.5},), 9),
    "/generate": TEXT,
    f"/models/{CHAT_MODEL}": TEXT,
    f"/models/{EMBEDDER}": EmbeddingResult(VECTORS, (1, 1)),
}


@pytest.mark.parametrize("path", ANSWERS)
async def test_answers_are_as_documented(path: str, tmp_path: Path) -> None:
    app = application(Family(ANSWERS[path]), tmp_path)
    response = await house.post(app, path, GOOD[path])
    await app.state.conversations.close()
    assert response.status_code == 200, response.text
    content = template(path, "post")["responses"]["200"]["content"]["application/json"]
    assert matches(content["schema"], response.json()), response.text


@pytest.mark.parametrize(
    "path",
    [
        GENERATE,
        CHAT,
        f"/models/{CHAT_MODEL}",
        "/v2/embed",
        "/v1/embed",
        "/predict",
        "/generate",
        "/v1/messages",
    ],
)
@pytest.mark.parametrize("body", [{"no": 1}, {}])
async def test_refusals_are_as_documented(path: str, body: dict[str, Any]) -> None:
    response = await house.post(application(Family()), path, body)
    content = template(path, "post")["responses"]["4XX"]["content"]["application/json"]
    assert matches(content["schema"], response.json()), response.text


@pytest.mark.parametrize("kind", ["token", "error"])
@pytest.mark.parametrize(
    "path",
    [
        f"{NATIVE}/generate/stream",
        f"{NATIVE}/conversations/ada/messages",
        "/v1/chat/completions",
        "/v1/completions",
        f"/models/{CHAT_MODEL}",
        f"/models/{CHAT_MODEL}/v1/chat/completions",
        f"/models/{CHAT_MODEL}/v1/completions",
        "/generate_stream",
        "/v1/responses",
        "/v1/messages",
    ],
)
async def test_events_are_as_documented(path: str, kind: str, tmp_path: Path) -> None:
    broken = Problem("unavailable", "lost")
    bursts = [TokenChunk(3, TOKENS[:1]), broken if kind == "error" else TokenChunk(3, TOKENS[1:])]
    app = application(Family(bursts), tmp_path)
    body = {**GOOD[path], "stream": True}
    if path.endswith("stream"):
        body.pop("stream")
    response = await house.post(app, path, body)
    await app.state.conversations.close()
    items = template(path, "post")["responses"]["200"]["content"]["text/event-stream"]
    choices = items["itemSchema"]["anyOf"]
    told = house.events(response.text)
    assert len(told) >= 2
    for name, data in told:
        assert any(_is_event(each, name, data) for each in choices), (name, data)


def _is_event(schema: dict[str, Any], name: str, data: Any) -> bool:
    properties = schema["properties"]
    if properties.get("event", {}).get("const", "") != name:
        return False
    if data == "[DONE]":
        return bool(properties["data"].get("const") == data)
    content = properties["data"].get("contentSchema")
    return content is not None and matches(content, data)


async def test_lists_of_every_kind_are_as_documented() -> None:
    failed = Problem("validation", "too long")
    for name, answer in {
        "classify": ClassificationResult((LABELS, failed), (1, 0)),
        "entities": EntityResult(((), failed), (1, 0)),
        "summarize": SummaryResult((Summary("short", 9, 3), failed)),
        "topics": ClassificationResult((LABELS, failed), (1, 0)),
    }.items():
        path = f"{NATIVE}/{name}"
        body = {"texts": ["a", "b"]}
        response = await house.post(application(Family(answer)), path, body)
        content = template(path, "post")["responses"]["200"]["content"]["application/json"]
        assert matches(content["schema"], response.json()), response.text


async def test_what_is_got_is_as_documented(tmp_path: Path) -> None:
    app = application(Family(generated("a")), tmp_path)
    await house.post(app, f"{NATIVE}/generate", {"prompt": "Hi"})
    for path in (
        "/",
        "/health",
        "/health/liveness",
        "/health/readiness",
        "/v1/models",
        f"/v1/models/{EMBEDDER}",
        f"/models/{EMBEDDER}/health",
        f"/models/{EMBEDDER}/info",
        "/info",
        f"/models/{EMBEDDER}/v1/models",
        f"{NATIVE}/models",
        f"{NATIVE}/models/loaded",
        f"{NATIVE}/performance",
        f"{NATIVE}/conversations",
        f"{NATIVE}/conversations/ada",
    ):
        response = await house.get(app, path)
        content = template(path, "get")["responses"]["200"]["content"]["application/json"]
        assert matches(content["schema"], response.json()), response.text
    await app.state.conversations.close()
