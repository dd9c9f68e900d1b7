"""Whichever part of a graph is killed, requests go on and nothing that was counted or kept is lost.

The kills of which most depends are in ``tests/e2e``, for every change.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Graph, wait_until
from tests.e2e.test_conversations import history, say, talk
from tests.e2e.test_live_models import TEXT, folder, posted
from tests.e2e.test_metrics import MOODS, counts, replaced, settled, until
from tests.e2e.test_models import measured
from tests.e2e.tiny_folders import MOODS as TINY_MOODS

__all__ = ["folder", "talk"]

NATIVE = "/api/v1/huggingface"


def test_the_history_outlives_the_replica_of_the_ingress(talk: httpx.Client, graph: Graph) -> None:
    first = say(talk, "My name is Ada.")
    replaced(graph, "Ingress")
    wait_until(lambda: talk.get("/health/liveness").status_code == 200)
    assert history(talk) == [{"user": "My name is Ada.", "assistant": first["response"]}]
    second = say(talk, "What is my name?")
    assert second["usage"]["prompt_tokens"] > first["usage"]["total_tokens"]


def test_counts_survive_a_killed_model_replica(client: httpx.Client, graph: Graph) -> None:
    assert client.post(f"{NATIVE}/classify", json={"texts": "good"}).status_code == 200
    before = settled(client)
    replaced(graph, "Classification")
    loads = ("model_loads_total", MOODS)
    after = until(client, lambda found: found[loads] > before[loads])
    assert after[loads] == before[loads] + 1
    assert after["batch_size_count", MOODS] == before["batch_size_count", MOODS]
    assert counts(after) == counts(before)


def test_a_restarted_ledger_counts_from_zero_and_gets_what_happened_during_the_restart(
    client: httpx.Client, graph: Graph
) -> None:
    assert client.post(f"{NATIVE}/classify", json={"texts": "good"}).status_code == 200
    before = settled(client)
    replaced(graph, "Ledger")
    for _ in range(3):
        response = client.post(f"{NATIVE}/classify", json={"texts": "good"})
        assert response.status_code == 200, "the service goes on without its ledger"
    key = (MOODS, "sentiment", "success")
    after = until(client, lambda found: ("requests_created", *key) in found)
    assert after["requests_created", *key] > before["requests_created", *key]
    after = until(client, lambda found: counts(found)[key] >= 3)
    assert counts(after) == {key: 3}


def test_a_call_is_answered_although_its_replica_is_killed(
    client: httpx.Client, graph: Graph
) -> None:
    replaced(graph, "Classification")
    response = client.post(f"{NATIVE}/classify", json={"texts": "wonderful"})
    assert response.status_code == 200, response.text
    assert response.json()["sentiment"] == "POSITIVE"


def test_requests_that_wait_in_a_replica_that_is_told_to_end_are_answered_by_another(
    base_url: str, graph: Graph
) -> None:
    """As a node does that shuts down: Python ends while event loops go on for a moment."""
    if graph.launcher is None:
        pytest.skip("a graph that this session did not start is not to be killed in part")
    body = {"texts": ["a long day, and no end of it, whatever anybody says. " * 20] * 4}

    def posted() -> int:
        answer = httpx.post(f"{base_url}{NATIVE}/classify", json=body, timeout=300, trust_env=False)
        return answer.status_code

    with ThreadPoolExecutor(64) as clients:
        answers = [clients.submit(posted) for _ in range(64)]
        wait_until(lambda: sum(answer.done() for answer in answers) > 2)
        assert not all(answer.done() for answer in answers)
        graph.replica("Classification").terminate()
        assert [answer.result() for answer in answers] == [200] * 64


def test_a_model_loaded_by_order_is_known_to_a_replica_that_starts_later(
    folder: Path, graph: Graph, client: httpx.Client
) -> None:
    replica = measured(graph, "Classification")
    client.delete(f"{NATIVE}/models/{TINY_MOODS}")  # a request may have loaded it otherwise
    order = client.post(f"{NATIVE}/models/{TINY_MOODS}", json={"task": "topic", "dtype": "float32"})
    assert order.status_code == 200, order.text
    body = {"texts": TEXT, "model_name": TINY_MOODS}
    first = posted(client, "/topics", body)
    replica.kill()
    wait_until(lambda: not replica.is_running())
    wait_until(lambda: client.post(f"{NATIVE}/topics", json=body).status_code == 200)
    assert posted(client, "/topics", body)["category"] == first["category"]
    assert client.delete(f"{NATIVE}/models/{TINY_MOODS}").status_code == 200
