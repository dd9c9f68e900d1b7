"""Loading and unloading of models on the running graph frees their memory."""

from __future__ import annotations

import threading

import httpx
import psutil
import pytest

from configs.processor import native_bfloat16
from tests.e2e.conftest import Graph
from tests.e2e.test_generation import events

NATIVE = "/api/v1/huggingface"
TWIN = "HuggingFaceTB/SmolLM2-135M-Instruct-torch"
RERANKER = "cross-encoder/ms-marco-MiniLM-L12-v2"
MODEL = f"{NATIVE}/models/{TWIN}"
WEIGHTS = 135_000_000 * (2 if native_bfloat16() else 4)
LIBRARIES = 600_000_000
"""Python, torch and transformers in the process of the torch engine."""


def held(client: httpx.Client) -> dict[str, int]:
    """Bytes of every loaded model."""
    usage = client.get(f"{NATIVE}/models/loaded").json()["memory_usage"]
    return {each["model"]: each["host_bytes"] for each in usage["replicas"]}


def measured(graph: Graph, deployment: str) -> psutil.Process:
    """The replica of ``deployment``, where this session started its process."""
    if graph.launcher is None:
        pytest.skip("memory is measured on processes that this session started")
    return graph.replica(deployment)


def memory(replica: psutil.Process) -> int:
    return sum(p.memory_info().rss for p in (replica, *replica.children(recursive=True)))


def test_a_model_is_loaded_used_and_unloaded_and_its_memory_is_freed(
    client: httpx.Client, graph: Graph
) -> None:
    replica = measured(graph, "Generation")
    # Load once before: the libraries that the first load imports stay in memory.
    assert client.post(MODEL).status_code == 200
    assert client.delete(MODEL).status_code == 200
    before = memory(replica)
    with client.stream("POST", MODEL, headers={"accept": "text/event-stream"}) as response:
        assert response.status_code == 200
        told = list(events(response))
    stages = [data["stage"] for name, data in told if name == "progress"]
    assert stages[-1] == "warm"
    assert told[-1][0] == "result"
    assert 0.9 * WEIGHTS < held(client)[TWIN] < 1.5 * WEIGHTS + LIBRARIES
    listed = client.get(f"{NATIVE}/models").json()["models"]
    assert next(model for model in listed if model["name"] == TWIN)["loaded"]

    asked = {"prompt": "Once upon a time", "max_new_tokens": 40, "seed": 1, "model_name": TWIN}
    tokens: list[str] = []
    gone: list[httpx.Response] = []
    deleting = threading.Thread(target=lambda: gone.append(client.delete(MODEL)))
    with client.stream("POST", f"{NATIVE}/generate/stream", json=asked) as response:
        for name, _ in events(response):
            tokens.append(name)
            if len(tokens) == 3:
                after = memory(replica)
                deleting.start()
    deleting.join()
    assert tokens == ["token"] * 40 + ["result"]
    assert gone[0].json()["message"] == f"Model {TWIN} unloaded successfully"
    assert TWIN not in held(client)
    assert memory(replica) - before < 0.1 * (after - before)


def test_unloading_an_encoder_on_openvino_frees_its_memory(
    client: httpx.Client, graph: Graph
) -> None:
    replica = measured(graph, "Reranking")
    pairs = {"query": "bread", "documents": ["flour and water " * 60] * 32}
    assert client.post(f"{NATIVE}/rerank", json=pairs).status_code == 200
    whole, said = memory(replica), held(client)[RERANKER]
    assert client.delete(f"{NATIVE}/models/{RERANKER}").status_code == 200
    assert whole - memory(replica) > 0.9 * said
    assert client.post(f"{NATIVE}/models/{RERANKER}").status_code == 200


def test_unloading_a_model_that_is_not_loaded_succeeds_but_unknown_names_fail(
    client: httpx.Client,
) -> None:
    assert client.delete(MODEL).status_code == 200
    for answer in (client.post(f"{NATIVE}/models/no/such"), client.delete(f"{NATIVE}/models/no")):
        assert answer.status_code == 404
        assert TWIN in answer.json()["details"]["available"]
