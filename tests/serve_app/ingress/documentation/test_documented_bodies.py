"""What the OpenAPI document allows as a body is what the service takes, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.seam.embeddings import EmbeddingResult
from deployments.seam.problems import Problem
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.ingress.documentation.documented import (
    CHAT,
    CHAT_MODEL,
    COMPLETIONS,
    EMBEDDER,
    GENERATE,
    GOOD,
    application,
    matches,
    template,
)
from tests.serve_app.local_handle import Family

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def body_of(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = template(path, "post")["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


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


VECTORS = np.asarray([[0.6, 0.8], [1.0, 0.0]], np.float32)
