"""Requests go on when a replica is killed."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.conftest import Graph, wait_until
from tests.e2e.test_generation import events, generate
from tests.e2e.test_models import MODEL, TWIN, held

NATIVE = "/api/v1/huggingface"
RELOAD_LIMIT_S = 240


def test_a_stream_continues_when_its_replica_is_killed_and_loaded_models_come_back(
    client: httpx.Client, graph: Graph
) -> None:
    if graph.launcher is None:
        pytest.skip("a graph that this session did not start is not to be killed in part")
    asked = {"prompt": "Once upon a time", "max_new_tokens": 120, "seed": 4}
    whole = generate(client, **asked)
    assert client.post(MODEL).status_code == 200
    tokens = []
    with client.stream("POST", f"{NATIVE}/generate/stream", json=asked) as response:
        for name, data in events(response):
            if name == "token":
                tokens.append(data)
            if len(tokens) == 5:
                graph.replica("Generation").kill()
            last = name, data
    assert last[0] == "result"
    assert [token["sequence_index"] for token in tokens] == list(range(len(tokens)))
    assert len(tokens) == whole["usage"]["completion_tokens"]
    assert "".join(token["text_delta"] for token in tokens).strip() == whole["generated_text"]
    wait_until(lambda: TWIN in held(client), RELOAD_LIMIT_S)
    assert client.delete(MODEL).status_code == 200
