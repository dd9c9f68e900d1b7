"""Requests go on when a replica is killed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Graph, wait_until
from tests.e2e.test_generation import events, generate
from tests.e2e.test_models import MODEL, TWIN, held

NATIVE = "/api/v1/huggingface"
RELOAD_LIMIT_S = 240
SCHEMA = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}, "maxItems": 20}},
    "required": ["words"],
}


def two_objects(client: httpx.Client, chunks: list[dict[str, Any]]) -> None:
    """Stream two texts of a schema, with the log-probability of every token, into ``chunks``."""
    body = {
        "model": TWIN,
        "messages": [{"role": "user", "content": "List words about the sea."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        "n": 2,
        "seed": 4,
        "temperature": 0.8,
        "max_tokens": 60,
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                chunks.append(json.loads(line.removeprefix("data: ")))  # noqa: PERF401  as they come


def test_streams_continue_when_their_replica_is_killed_and_loaded_models_come_back(
    client: httpx.Client, graph: Graph
) -> None:
    if graph.launcher is None:
        pytest.skip("a graph that this session did not start is not to be killed in part")
    asked = {"prompt": "Once upon a time", "max_new_tokens": 120, "seed": 4}
    whole = generate(client, **asked)
    assert client.post(MODEL).status_code == 200
    tokens, chunks = [], list[dict[str, Any]]()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(two_objects, client, chunks)
        wait_until(lambda: len(chunks) > 5 or other.done())
        with client.stream("POST", f"{NATIVE}/generate/stream", json=asked) as response:
            for name, data in events(response):
                if name == "token":
                    tokens.append(data)
                if len(tokens) == 5:
                    assert not other.done()
                    graph.replica("Generation").kill()
                last = name, data
        other.result()
    assert last[0] == "result"
    assert [token["sequence_index"] for token in tokens] == list(range(len(tokens)))
    assert len(tokens) == whole["usage"]["completion_tokens"]
    assert "".join(token["text_delta"] for token in tokens).strip() == whole["generated_text"]
    assert_whole(chunks)
    wait_until(lambda: TWIN in held(client), RELOAD_LIMIT_S)
    assert client.delete(MODEL).status_code == 200


def assert_whole(chunks: list[dict[str, Any]]) -> None:
    """Every token came once, and what ended by itself is an instance of the schema."""
    usage = chunks[-1]["usage"]
    texts, ends, counted = ["", ""], ["", ""], 0
    for choice in (choice for chunk in chunks for choice in chunk["choices"]):
        texts[choice["index"]] += choice["delta"].get("content") or ""
        ends[choice["index"]] += choice["finish_reason"] or ""
        counted += len((choice["logprobs"] or {}).get("content") or [])
    assert counted == usage["completion_tokens"]
    for text, end in zip(texts, ends, strict=True):
        assert end in {"stop", "length"}, "each choice ends once"
        assert text.startswith('{"words": [')
        if end == "stop":
            assert list(json.loads(text)) == ["words"]
