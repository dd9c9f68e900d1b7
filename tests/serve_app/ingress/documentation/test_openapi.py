"""The OpenAPI document: readable names, and neither looser nor stricter than the service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from configs.profile_file import load_profile
from configs.settings import Settings
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
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.vision import RED_DOT
from tests.serve_app import house
from tests.serve_app.house import NATIVE, generated
from tests.serve_app.local_handle import Family, LocalHandle

CHAT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
RERANKER = "cross-encoder/ms-marco-MiniLM-L12-v2"
HI = [{"role": "user", "content": "Hi"}]
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


PROFILE = load_profile("embedded")


def application(family: Family, folder: Path = Path("unused")) -> FastAPI:
    """The embedded profile's application, all of whose models are ``family``."""
    profile, settings = PROFILE, Settings(hf_cache_dir=folder)
    calls = DeploymentClient({each.name: LocalHandle(family) for each in profile.families}, 30.0)
    services = Services(Catalog(profile, settings), calls, settings, house.Ready())
    return create_app(services, routers_of(profile))


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(application(Family()).openapi()))
    return made


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def template(path: str, method: str) -> dict[str, Any]:
    """The operation of a path whose parameters are filled in."""
    for each, of_method, operation in operations():
        form = re.sub(r"\\\{\w+\\\}", ".+", re.escape(each))
        if of_method == method and re.fullmatch(form, path):
            found: dict[str, Any] = operation
            return found
    raise LookupError(path)


def matches(schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": document()["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


def body_of(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = template(path, "post")["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def schemas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for name, each in part.items():
            if name != "example":
                yield from schemas(each)
    elif isinstance(part, list):
        for each in part:
            yield from schemas(each)


def test_names_are_short_and_say_nothing_of_modules() -> None:
    names = document()["components"]["schemas"]
    assert len(names) > 50
    for name in names:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]{1,40}", name), name
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids)) > 40
    for name in ids:
        assert re.fullmatch(r"[a-z][a-z0-9_]{2,40}", name), name


def test_the_document_stands_by_itself() -> None:
    assert document()["servers"] == [{"url": "/"}]
    known = document()["components"]["schemas"]
    for part in schemas(document()):
        assert "$defs" not in part
        if isinstance(part.get("$ref"), str):
            assert part["$ref"].removeprefix("#/components/schemas/") in known
    for schema in known.values():
        Draft202012Validator.check_schema(schema)


def test_every_answer_is_described() -> None:
    for path, method, operation in operations():
        answer = operation["responses"].get("200")
        if answer is None:
            assert "204" in operation["responses"], (method, path)
            continue
        assert answer["content"], (method, path)
        for kind, content in answer["content"].items():
            assert content.get("schema") or kind == "text/plain", (method, path, kind)
            if kind == "text/event-stream":
                assert len(content["itemSchema"]["anyOf"]) >= 2


def test_examples_are_what_they_exemplify() -> None:
    found = 0
    for path, method, operation in operations():
        if method != "post" or "requestBody" not in operation:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema.get("$ref", "").rpartition("/")[2]
        example = document()["components"]["schemas"].get(name, schema).get("example")
        if example is not None:
            found += 1
            assert matches(schema, example), path
    assert found > 15


GOOD: dict[str, dict[str, Any]] = {
    f"{NATIVE}/generate": {"prompt": "Hi"},
    f"{NATIVE}/generate/stream": {"prompt": "Hi"},
    f"{NATIVE}/query": {"prompt": "Hi", "user_id": "ada"},
    f"{NATIVE}/conversations": {"user_id": "ada", "initial_message": "Hi"},
    f"{NATIVE}/conversations/ada/messages": {"message": "Hi"},
    f"{NATIVE}/embeddings": {"texts": ["a", "b"]},
    f"{NATIVE}/similarity": {"text1": "a", "text2": "b"},
    f"{NATIVE}/search": {"query_text": "a", "candidate_texts": ["b"]},
    f"{NATIVE}/cluster": {"texts": ["a", "b"], "n_clusters": 2},
    f"{NATIVE}/rerank": {"query": "a", "documents": ["b"]},
    f"{NATIVE}/classify": {"texts": "a"},
    f"{NATIVE}/topics": {"texts": "a", "labels": ["x", "y"]},
    f"{NATIVE}/entities": {"texts": "a"},
    f"{NATIVE}/summarize": {"texts": "a"},
    f"{NATIVE}/vision/classify": {"image": RED_DOT},
    f"{NATIVE}/vision/caption": {"image": RED_DOT},
    f"{NATIVE}/vision/question": {"image": RED_DOT, "question": "What?"},
    f"{NATIVE}/vision/detect": {"image": RED_DOT},
    f"{NATIVE}/graph": {"steps": [{"id": "a", "task": "classify", "inputs": {"texts": "a"}}]},
    "/v1/chat/completions": {"messages": HI, "model": CHAT_MODEL},
    "/v1/completions": {"prompt": "Hi", "model": CHAT_MODEL},
    "/v1/embeddings": {"input": "a"},
    "/v1/rerank": {"query": "a", "documents": ["b", {"text": "c"}]},
    "/v1/responses": {"input": HI, "model": CHAT_MODEL},
    "/v1/messages": {"messages": HI, "max_tokens": 9, "model": CHAT_MODEL},
    "/v1/messages/count_tokens": {"messages": HI, "system": "a"},
    "/v2/rerank": {"query": "a", "documents": ["b", "c"]},
    "/v2/embed": {"texts": ["a", "b"], "embedding_types": ["float", "ubinary"]},
    "/v1/embed": {"texts": ["a", "b"]},
    "/rerank": {"query": "a", "texts": ["b"]},
    f"/models/{RERANKER}/rerank": {"query": "a", "documents": ["b"]},
    "/embed": {"inputs": "a"},
    f"/models/{EMBEDDER}/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
    "/predict": {"inputs": [["a"]]},
    "/score": {"text_1": "a", "text_2": ["b"]},
    "/classify": {"input": "a"},
    "/pooling": {"input": "a"},
    "/tokenize": {"messages": HI},
    "/detokenize": {"tokens": [1]},
    "/v1/systemone": {"state": "a", "questions": {"b": {"type": "noul"}}},
    "/generate": {"inputs": "Hi"},
    "/generate_stream": {"inputs": "Hi"},
    f"/models/{CHAT_MODEL}": {"inputs": "Hi"},
    f"/models/{EMBEDDER}": {"inputs": ["a", "b"]},
    f"/models/{CHAT_MODEL}/v1/chat/completions": {"messages": HI},
    f"/models/{CHAT_MODEL}/v1/completions": {"prompt": "Hi"},
    f"/models/{EMBEDDER}/v1/embeddings": {"input": "Hi"},
}
"""A body that each route takes."""

GENERATE, CHAT, COMPLETIONS = f"{NATIVE}/generate", "/v1/chat/completions", "/v1/completions"
BAD: list[tuple[str, dict[str, Any]]] = [
    *((path, {"no_such_field": 1}) for path in GOOD),
    (GENERATE, {"prompt": ""}),
    (GENERATE, {"prompt": "x" * 102_401}),
    (GENERATE, {"temperature": 2.1}),
    (GENERATE, {"temperature": -0.1}),
    (GENERATE, {"top_p": 0}),
    (GENERATE, {"top_k": -2}),
    (GENERATE, {"repetition_penalty": 0}),
    (GENERATE, {"num_return_sequences": 17}),
    (GENERATE, {"max_new_tokens": 0}),
    (GENERATE, {"max_length": 2**31}),
    (GENERATE, {"seed": 2**63}),
    (GENERATE, {"seed": -(2**63) - 1}),
    (GENERATE, {"seed": "7"}),
    (GENERATE, {"stop": ["x"] * 17}),
    (GENERATE, {"stop": "x" * 257}),
    (GENERATE, {"stop": ["x" * 257]}),
    (GENERATE, {"do_sample": 1}),
    (GENERATE, {"stream": True, "num_return_sequences": 2}),
    (f"{NATIVE}/query", {"user_id": "a\tb"}),
    (f"{NATIVE}/query", {"user_id": "x" * 257}),
    (f"{NATIVE}/query", {"context": 7}),
    (f"{NATIVE}/conversations", {"user_id": ".."}),
    (f"{NATIVE}/conversations", {"user_id": "a/./b"}),
    (f"{NATIVE}/conversations", {"initial_message": ""}),
    (f"{NATIVE}/conversations/ada/messages", {"stream": "yes"}),
    (f"{NATIVE}/embeddings", {"texts": []}),
    (f"{NATIVE}/embeddings", {"texts": ""}),
    (f"{NATIVE}/embeddings", {"texts": ["a", " "]}),
    (f"{NATIVE}/embeddings", {"texts": ["a"] * 2049}),
    (f"{NATIVE}/embeddings", {"batch_size": 2049}),
    (f"{NATIVE}/similarity", {"text1": []}),
    (f"{NATIVE}/similarity", {"text1": " "}),
    (f"{NATIVE}/similarity", {"text1": [0.0, 0], "text2": [1.0, 2.0]}),
    (f"{NATIVE}/search", {"query_text": "\n"}),
    (f"{NATIVE}/search", {"candidate_texts": [""]}),
    (f"{NATIVE}/search", {"top_k": 0}),
    (f"{NATIVE}/cluster", {"n_clusters": 0}),
    (f"{NATIVE}/cluster", {"texts": ["a", "b", "c", "d"], "n_clusters": ...}),
    (f"{NATIVE}/rerank", {"documents": []}),
    (f"{NATIVE}/rerank", {"query": " "}),
    (f"{NATIVE}/classify", {"texts": " "}),
    (f"{NATIVE}/classify", {"labels": []}),
    (f"{NATIVE}/classify", {"labels": ["x", "x"]}),
    (f"{NATIVE}/classify", {"labels": [" "]}),
    (f"{NATIVE}/classify", {"labels": ["x" * 257]}),
    (f"{NATIVE}/classify", {"labels": [str(i) for i in range(65)]}),
    (f"{NATIVE}/classify", {"multi_label": True}),
    (f"{NATIVE}/summarize", {"max_length": 0}),
    (f"{NATIVE}/summarize", {"min_length": 151}),
    (f"{NATIVE}/vision/classify", {"image": ""}),
    (f"{NATIVE}/vision/classify", {"image": "/etc/passwd.png"}),
    (f"{NATIVE}/vision/classify", {"image": "https://a.example/b.png"}),
    (f"{NATIVE}/vision/classify", {"top_k": 1001}),
    (f"{NATIVE}/vision/question", {"question": ""}),
    (f"{NATIVE}/vision/detect", {"threshold": 1.5}),
    (f"{NATIVE}/graph", {"steps": []}),
    (f"{NATIVE}/graph", {"steps": [{"id": "a", "task": "no such task"}]}),
    (f"{NATIVE}/graph", {"steps": [{"id": "a b", "task": "classify"}]}),
    (CHAT, {"messages": []}),
    (CHAT, {"messages": [{"role": "wizard", "content": "Hi"}]}),
    (CHAT, {"messages": [{"role": "user"}]}),
    (CHAT, {"messages": [{"role": "user", "content": None}]}),
    (CHAT, {"messages": [{"role": "user", "content": []}]}),
    (CHAT, {"messages": [{"role": "user", "content": "a", "tool_call_id": "1"}]}),
    (CHAT, {"messages": [{"role": "user", "content": "a", "tool_calls": [CALL]}]}),
    (CHAT, {"messages": [{"role": "tool", "content": "a"}]}),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
    (CHAT, {"messages": [{"role": "user", "content": "a", "name": "x" * 257}]}),
    (CHAT, {"top_logprobs": 2}),
    (CHAT, {"top_logprobs": 21, "logprobs": True}),
    (CHAT, {"n": 0}),
    (CHAT, {"frequency_penalty": 2.5}),
    (CHAT, {"logit_bias": {"x": 1}}),
    (CHAT, {"logit_bias": {"1": 101}}),
    (CHAT, {"metadata": {str(i): "x" for i in range(17)}}),
    (CHAT, {"store": True}),
    (CHAT, {"stream_options": {"include_usage": True}}),
    (CHAT, {"tool_choice": "required"}),
    (CHAT, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "a b"}}]}),
    (CHAT, {"tools": [TOOL], "response_format": {"type": "json_object"}}),
    (CHAT, {"response_format": {"type": "json_schema"}}),
    (CHAT, {"response_format": {"type": "text", "json_schema": {"name": "x"}}}),
    (CHAT, {"modalities": ["audio"]}),
    (COMPLETIONS, {"prompt": []}),
    (COMPLETIONS, {"prompt": ["x"] * 2049}),
    (COMPLETIONS, {"prompt": [-1]}),
    (COMPLETIONS, {"logprobs": 6}),
    (COMPLETIONS, {"stream_options": {}}),
    ("/v1/embeddings", {"input": []}),
    ("/v1/embeddings", {"input": [[1, 2]]}),
    ("/v1/embeddings", {"input": ["a", ""]}),
    ("/v1/embeddings", {"dimensions": 0}),
    ("/v1/embeddings", {"encoding_format": "int8"}),
    ("/v1/rerank", {"documents": [{"text": " "}]}),
    ("/v1/rerank", {"top_n": 0}),
    (f"/models/{CHAT_MODEL}", {"parameters": {"temperature": 3}}),
    (f"/models/{CHAT_MODEL}", {"parameters": {"watermark": "yes"}}),
    (f"/models/{EMBEDDER}", {"inputs": 7}),
    ("/v1/responses", {"input": []}),
    ("/v1/responses", {"store": True}),
    ("/v1/responses", {"previous_response_id": "resp_1"}),
    ("/v1/responses", {"background": True}),
    ("/v1/responses", {"text": {"format": {"type": "json_schema"}}}),
    ("/v1/responses", {"tools": [{"type": "web_search"}]}),
    ("/v1/responses", {"stream_options": {}}),
    ("/v1/messages", {"messages": []}),
    ("/v1/messages", {"max_tokens": ...}),
    ("/v1/messages", {"thinking": {"type": "enabled"}}),
    ("/v1/messages", {"tools": [{"name": "a b", "input_schema": {}}]}),
    ("/v2/rerank", {"max_tokens_per_doc": 0}),
    ("/v2/embed", {"embedding_types": ["int8"]}),
    ("/v2/embed", {"truncate": "START"}),
    ("/rerank", {"texts": []}),
    ("/rerank", {"truncate": True, "truncation_direction": "Left"}),
    ("/predict", {"inputs": ["a", "b"]}),
    ("/generate", {"inputs": ""}),
    ("/score", {"text_2": []}),
    ("/classify", {"truncate_prompt_tokens": 5}),
    ("/pooling", {"input": ["a", " "]}),
    ("/tokenize", {"add_generation_prompt": False}),
    ("/detokenize", {"tokens": []}),
    ("/v1/systemone", {"questions": {}}),
    ("/v1/systemone", {"questions": {"b": {"type": "choice"}}}),
    ("/v1/systemone", {"assets": {"img": {}}}),
]


def changed(path: str, change: dict[str, Any]) -> dict[str, Any]:
    """The good body of a path with a change; ``...`` takes a field away."""
    body = {**GOOD[path], **change}
    return {name: value for name, value in body.items() if value is not ...}


@pytest.mark.parametrize("path", GOOD)
async def test_what_the_document_allows_is_not_refused(path: str, tmp_path: Path) -> None:
    assert matches(body_of(path), GOOD[path])
    app = application(Family(*[Problem("unavailable", "busy")] * 9), tmp_path)
    if path.endswith("stream"):
        app = application(Family([Problem("unavailable", "busy")]), tmp_path)
    response = await house.post(app, path, GOOD[path])
    await app.state.conversations.close()
    assert response.status_code in {200, 503}, response.text


@pytest.mark.parametrize(("path", "change"), BAD, ids=lambda each: str(each)[:60])
async def test_what_is_refused_the_document_does_not_allow(
    path: str, change: dict[str, Any], tmp_path: Path
) -> None:
    body = changed(path, change)
    app = application(Family(EmbeddingResult(VECTORS[:1], (1,))), tmp_path)
    response = await house.post(app, path, body)
    await app.state.conversations.close()
    assert response.status_code == 400, response.text
    assert not matches(body_of(path), body), body


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
