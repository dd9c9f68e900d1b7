"""The scrape address counts each request of the graph once, also when replicas are killed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import httpx
import pytest
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families

from deployments.metrics.signals import PREFIX
from tests.deployments.metrics.reading import Figures, figures
from tests.e2e.conftest import Graph
from tests.e2e.test_generation import events

NATIVE = "/api/v1/huggingface"
PATIENCE_S = 120.0
QUIET_S = 2.0  # many of the reporters' intervals, should the machine be busy with other tests
TEXTS = "HuggingFaceTB/SmolLM2-135M-Instruct"
VECTORS = "sentence-transformers/all-MiniLM-L6-v2"
MOODS = "prsm-serve/sentiment-bge-small-en"
RANKS = "cross-encoder/ms-marco-MiniLM-L12-v2"
SHORT = {"prompt": "The capital of France is", "max_new_tokens": 4}

SCRIPT = Counter(
    {
        (TEXTS, "generate", "success"): 20,
        (TEXTS, "generate", "error"): 10,
        (TEXTS, "chat", "success"): 10,
        (VECTORS, "embed", "success"): 25,
        (MOODS, "sentiment", "success"): 15,
        (RANKS, "rerank", "success"): 5,
        ("unknown", "sentiment", "error"): 10,
        ("unknown", "generate", "error"): 5,
    }
)
"""The requests of :func:`hundred` by model, task and status."""


def hundred(client: httpx.Client, openai_client: OpenAI) -> Iterable[Callable[[], None]]:
    """Send a hundred requests: whole and streamed, valid and bad, some cancelled by the client."""

    def posted(path: str, body: object, status: int = 200) -> Callable[[], None]:
        def post() -> None:
            assert client.post(path, json=body).status_code == status

        return post

    def streamed() -> None:
        with client.stream("POST", f"{NATIVE}/generate/stream", json=SHORT) as response:
            assert list(events(response))[-1][0] == "result"

    def left() -> None:
        long = {**SHORT, "max_new_tokens": 2000}
        with client.stream("POST", f"{NATIVE}/generate/stream", json=long) as response:
            assert next(iter(events(response)))[0] == "token"

    def chatted(*, stream: bool) -> Callable[[], None]:
        def chat() -> None:
            answer = openai_client.chat.completions.create(
                model=TEXTS,
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=4,
                stream=stream,
            )
            assert len(list(answer)) > 1

        return chat

    misspelt = {"textss": "wonderful"}
    documents = ["Berlin has 3.7 million inhabitants.", "Berlin is known for its museums."]
    yield from [posted(f"{NATIVE}/generate", SHORT)] * 10
    yield from [streamed] * 10
    yield from [left] * 5
    yield from [posted(f"{NATIVE}/generate", {**SHORT, "max_new_tokens": 10**6}, 400)] * 5
    yield from [posted(f"{NATIVE}/generate", {**SHORT, "model_name": "no/model"}, 404)] * 5
    yield from [chatted(stream=False), chatted(stream=True)] * 5
    yield from [posted("/v1/embeddings", {"input": "a cat"})] * 15
    search = {"query_text": "a pet", "candidate_texts": ["a kitten", "a share"]}
    yield from [posted(f"{NATIVE}/search", search)] * 10
    yield from [posted(f"{NATIVE}/classify", {"texts": ["wonderful", ""]})] * 15
    yield from [posted(f"{NATIVE}/classify", misspelt, 400)] * 10
    yield from [posted(f"{NATIVE}/rerank", {"query": "Berlin", "documents": documents})] * 5


def scraped(client: httpx.Client) -> Figures:
    """Scrape the metrics; while the ledger restarts the answer says when to try again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        response = client.get("/metrics")
        if response.status_code == 200:
            return figures(response.text)
        assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() < deadline, response.text
        time.sleep(0.5)


def counts(found: Figures) -> Counter[tuple[str, ...]]:
    """Requests by model, task and status."""
    return Counter({k[1:]: int(v) for k, v in found.items() if k[0] == "requests_total"})


def until(client: httpx.Client, true: Callable[[Figures], bool]) -> Figures:
    """The first metrics for which ``true`` holds; replicas report four times a second."""
    deadline = time.monotonic() + PATIENCE_S
    while not true(found := scraped(client)):
        assert time.monotonic() < deadline, counts(found)
        time.sleep(0.1)
    return found


def settled(client: httpx.Client) -> Figures:
    """The metrics once every replica has reported all earlier requests."""
    before = scraped(client)
    time.sleep(QUIET_S)  # nothing tells that nothing will come
    while (after := scraped(client)) and counts(after) != counts(before):
        before = after
        time.sleep(QUIET_S)
    return after


def test_a_hundred_requests_are_counted_as_exactly_a_hundred(
    client: httpx.Client, openai_client: OpenAI
) -> None:
    before = settled(client)
    with ThreadPoolExecutor(16) as pool:
        for each in [pool.submit(ask) for ask in hundred(client, openai_client)]:
            each.result()
    until(client, lambda found: (counts(found) - counts(before)).total() >= 100)
    after = settled(client)
    assert counts(after) - counts(before) == SCRIPT
    performance = client.get(f"{NATIVE}/performance").json()
    assert performance["total_requests"] >= 100
    assert performance["success_rate"] == 75.0
    assert performance["model_usage"] == {
        TEXTS: 40,
        VECTORS: 25,
        MOODS: 15,
        RANKS: 5,
        "unknown": 15,
    }
    assert performance["task_usage"] == {
        "generate": 35,
        "chat": 10,
        "embed": 25,
        "sentiment": 25,
        "rerank": 5,
    }
    assert 0 < performance["min_inference_time"] <= performance["average_inference_time"]
    assert performance["average_inference_time"] <= performance["max_inference_time"]
    assert performance["average_memory_usage"] > 0

    def risen(*key: str) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert risen("cancelled_total", TEXTS, "generate") == 5
    assert risen("rejections_total", "generate", "validation_error") == 5
    assert risen("rejections_total", "generate", "not_found_error") == 5
    assert risen("rejections_total", "sentiment", "validation_error") == 10
    assert risen("inference_duration_seconds_count", TEXTS, "generate") == 20
    assert risen("inference_duration_seconds_count", VECTORS, "embed") == 25
    assert risen("time_to_first_token_seconds_count", TEXTS, "generate") == 15
    assert risen("time_to_first_token_seconds_count", TEXTS, "chat") == 5
    assert risen("finished_sequences_total", TEXTS, "generate", "cancelled") == 5
    assert risen("vllm:request_success_total", TEXTS, "abort") == 5
    assert risen("vllm:e2e_request_latency_seconds_count", TEXTS) == 30
    assert risen("gen_ai_server_request_duration_seconds_count", "text_completion", TEXTS) == 20
    assert risen("output_length_tokens_count", TEXTS, "generate") == 25
    assert risen("tokens_out_total", TEXTS, "chat") <= 40


def test_replicas_of_models_report_batches_slots_and_memory(client: httpx.Client) -> None:
    before = scraped(client)
    response = client.post(f"{NATIVE}/classify", json={"texts": ["a", "b", "c"]})
    assert response.status_code == 200
    size = ("batch_size_sum", MOODS)
    after = until(client, lambda found: found.get(size, 0) - before.get(size, 0) >= 3)
    assert after["batch_size_sum", MOODS] - before.get(size, 0) == 3
    assert after["queue_wait_seconds_count", MOODS] == after[size]
    assert after["batch_fill_ratio_count", MOODS] == after["batch_size_count", MOODS]
    assert after["slots", TEXTS] == 16
    assert 0 <= after["slots_in_use", TEXTS] <= 16
    assert 0 <= after["kv_cache_usage_ratio", TEXTS] <= 1
    assert after["model_loads_total", MOODS] >= 1
    assert after["cache_hits_total", MOODS] >= 1
    assert after["model_memory_bytes", TEXTS] > 50 * 2**20
    assert after["model_memory_bytes", MOODS] > 2**20


def labelled(client: httpx.Client, name: str) -> dict[frozenset[tuple[str, str]], float]:
    """The samples of one metric by all their labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        frozenset(sample.labels.items()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == PREFIX + name
    }


def test_answers_replicas_preparation_and_versions_are_measured(client: httpx.Client) -> None:
    def answers(route: str, status: str) -> float:
        labels = frozenset({("route", route), ("status", status)})
        return labelled(client, "http_responses_total").get(labels, 0.0)

    classify = f"{NATIVE}/classify"
    before = answers(classify, "4xx"), answers("none", "4xx")
    assert client.post(classify, json={}).status_code == 400
    assert client.get("/no/such/route").status_code == 404
    assert (answers(classify, "4xx"), answers("none", "4xx")) == (before[0] + 1, before[1] + 1)
    for gauge in ("replicas_running", "replicas_wanted"):
        of = {
            dict(labels)["deployment"]: count for labels, count in labelled(client, gauge).items()
        }
        assert [of[each] for each in ("Ingress", "Ledger", "Embeddings", "Generation")] == [1] * 4
    assert client.post(classify, json={"texts": "a"}).status_code == 200
    assert client.post(f"{NATIVE}/generate", json=SHORT).status_code == 200
    prepared = "preprocessing_seconds_count"
    until(client, lambda found: all(found.get((prepared, each)) for each in (MOODS, TEXTS)))
    (build,) = labelled(client, "build_info")
    assert dict(build)["ray"] == version("ray")


def replaced(graph: Graph, deployment: str) -> None:
    if graph.launcher is None:
        pytest.skip("a graph that this session did not start is not to be killed in part")
    graph.replica(deployment).kill()


def test_counts_survive_a_killed_ingress_replica(client: httpx.Client, graph: Graph) -> None:
    assert client.post(f"{NATIVE}/classify", json={"texts": "good"}).status_code == 200
    before = settled(client)
    replaced(graph, "Ingress")
    _answers(client)
    after = settled(client)
    assert counts(after) == counts(before)
    created = ("requests_created", MOODS, "sentiment", "success")
    assert after[created] == before[created]


def _answers(client: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if client.get("/health/readiness").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail("the graph did not come back")
