"""The load clients against a stub server: what they send and count, and their errors."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.load.client import LoadClient, base_url
from serve_app.load.figures import LoadFigures, RequestSample
from serve_app.load.load import Load
from tests.serve_app.load.stub import Stub


async def run(stub: Stub, load: Load, samples: list[RequestSample] | None = None) -> LoadFigures:
    async with LoadClient.open(stub.url) as bench:
        return await bench.run(load, samples)


async def test_every_request_is_counted_and_has_another_text(stub: Stub) -> None:
    got = await run(stub, Load("embeddings", clients=4, requests=30, per_request=3))
    assert (got.succeeded, got.failed, got.units, got.unit) == (30, 0, 90, "texts")
    assert got.prompt_tokens == 30 * 9
    assert len({str(body["input"]) for body in stub.bodies}) == 30


async def test_all_clients_send_requests_at_the_same_time(stub: Stub) -> None:
    stub.gate.clear()
    running = asyncio.create_task(run(stub, Load("embeddings", clients=5, requests=20)))
    await stub.received(5)
    stub.gate.set()
    await running
    assert stub.most_open == 5
    assert len(stub.bodies) == 20


@pytest.mark.parametrize("what", ["chat", "completions"])
async def test_a_stream_gives_its_own_count_of_tokens_and_the_time_of_the_first(
    stub: Stub, what: str
) -> None:
    samples: list[RequestSample] = []
    got = await run(stub, Load(what, clients=2, requests=6, new_tokens=7), samples)
    assert got.units == 6 * 8  # the server counts one that has no text, as its usage says
    assert got.prompt_tokens == 6 * 20
    assert all(body["stream"] and body["max_tokens"] == 7 for body in stub.bodies)
    for sample in samples:
        assert sample.first_s is not None
        assert sample.last_s is not None
        assert sample.began_s < sample.first_s <= sample.last_s <= sample.ended_s


async def test_without_usage_events_with_text_are_the_tokens(stub: Stub) -> None:
    stub.usage = False
    got = await run(stub, Load("chat", requests=3, new_tokens=7))
    assert got.units == 3 * 7


async def test_answers_that_are_not_streamed_have_no_first_token(stub: Stub) -> None:
    samples: list[RequestSample] = []
    got = await run(stub, Load("chat", requests=3, new_tokens=5, stream=False), samples)
    assert got.units == 3 * 5
    assert not any("stream" in body for body in stub.bodies)
    assert all(sample.first_s is None for sample in samples)


async def test_documents_are_ranked(stub: Stub) -> None:
    got = await run(stub, Load("rerank", requests=4, per_request=6))
    assert (got.units, got.unit) == (24, "documents")


async def test_errors_are_counted_by_kind_with_a_detail(stub: Stub) -> None:
    stub.fails = {2: 503, 3: 429, 5: 503}
    got = await run(stub, Load("embeddings", clients=1, requests=6))
    assert got.succeeded == 3
    assert got.errors == {"HTTP 503": 2, "HTTP 429": 1}
    assert "out of order" in got.details["HTTP 429"]


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        ("", "broke off"),
        ('data: {"error": {"message": "no"}}\n\n', "error event"),
        ("data: {half\n\n", "another shape"),
    ],
)
async def test_a_stream_that_does_not_end_well_is_an_error(
    stub: Stub, end: str, detail: str
) -> None:
    stub.stream_end = end
    got = await run(stub, Load("chat", requests=1))
    assert got.errors == {"bad answer": 1}
    assert detail in got.details["bad answer"]


async def test_an_answer_that_lacks_a_vector_is_an_error(stub: Stub) -> None:
    stub.vectors_missing = 1
    got = await run(stub, Load("embeddings", requests=1, per_request=4))
    assert got.details == {"bad answer": "3 vectors for 4 texts"}


async def test_an_answer_that_does_not_come_is_a_timeout(stub: Stub) -> None:
    stub.gate.clear()
    got = await run(stub, Load("embeddings", requests=1, timeout_s=0.05))
    assert got.errors == {"timeout": 1}


async def test_a_server_that_is_not_there_is_an_error_of_its_own_kind() -> None:
    async with LoadClient.open("http://127.0.0.1:9") as bench:
        got = await bench.run(Load("embeddings", clients=2, requests=2))
        assert await bench.models() == []
    assert got.errors == {"ClientConnectorError": 2}


async def test_no_request_begins_after_the_seconds(stub: Stub) -> None:
    got = await run(stub, Load("embeddings", clients=2, seconds=0.05))
    assert 0 < got.succeeded == len(stub.bodies)


async def test_the_key_and_the_model_are_sent(stub: Stub) -> None:
    async with LoadClient.open(stub.url, api_key="secret") as bench:
        await bench.run(Load("chat", requests=1, model="small"))
    assert stub.headers[0]["authorization"] == "Bearer secret"
    assert stub.bodies[0]["model"] == "small"


@pytest.mark.parametrize("reused", [True, False])
async def test_connections_are_reused_unless_that_is_unwanted(stub: Stub, reused: bool) -> None:
    async with LoadClient.open(stub.url, reuse_connections=reused) as bench:
        await bench.run(Load("chat", clients=1, requests=3))
    assert len(set(stub.clients)) == (1 if reused else 3)


def test_the_protocol_is_below_v1_unless_the_url_says_where() -> None:
    assert base_url("http://127.0.0.1:8000/") == "http://127.0.0.1:8000/v1"
    assert base_url("http://127.0.0.1:8000/openai/v1") == "http://127.0.0.1:8000/openai/v1"
