"""Overload: a request that could not be answered in time is refused at once, and others go on."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from itertools import count
from typing import Any

import pytest
from fastapi import FastAPI

from deployments.seam.embeddings import EmbeddingRequest
from deployments.seam.generation import GenerationRequest
from deployments.seam.problems import Problem
from deployments.seam.summarization import SummaryRequest
from deployments.seam.tokenization import DetokenizeRequest
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.cluster.admission import Admission, Place, Work, work_of
from serve_app.ingress.cluster.family_load import FamilyLoad
from serve_app.ingress.deadline import HEADER
from serve_app.ingress.errors import DeadlineExceeded, TooManyRequests
from tests.serve_app import house
from tests.serve_app.house import NATIVE, burst, generated
from tests.serve_app.ingress.metering.counting import counted
from tests.serve_app.local_handle import FOREVER, Family, happens

GENERATE, STREAM = f"{NATIVE}/generate", f"{NATIVE}/generate/stream"
PARALLEL = 2
LONG = {"prompt": "Hi", "max_new_tokens": 100}
SHORT = {"prompt": "Hi", "max_new_tokens": 1}
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}
LONG_CALL = GenerationRequest("id", "house/fast", prompt="Hi", max_new_tokens=100)


class Graph:
    """An application whose generation takes five seconds for 100 tokens, by its own clock."""

    def __init__(self, in_flight: int, *answers: Any, limit: int | None = None) -> None:
        self.now = 0.0
        self.load = FamilyLoad(lambda: PARALLEL, lambda: limit, lambda: self.now)
        self.family = Family(*answers)
        self.app = self._application()
        calls = deque(self.load.begin() for _ in range(in_flight))
        for _ in range(20):
            self.now += 5.0
            self.load.end(calls.popleft(), 100.0, whole=True)
            calls.append(self.load.begin())

    def _application(self) -> FastAPI:
        services = house.services({"generation": self.family})
        services.client.admission._loads = {"generation": self.load}
        return create_app(services, routers_of(house.profile()))

    async def post(self, path: str, body: Any, timeout_s: float) -> Any:
        return await house.post(self.app, path, body, **{HEADER: str(timeout_s)})


async def test_a_request_that_cannot_be_answered_in_time_is_refused_with_the_time_to_wait() -> None:
    graph = Graph(10)
    refused = await graph.post(GENERATE, LONG, 60.0)  # 11 calls of five seconds
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "40"  # the 8 that wait
    assert refused.json()["error_type"] == "rate_limit_error"
    assert not graph.family.asked


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "Hi", "max_tokens": 100}),
        (STREAM, LONG),
        ("/v1/completions", {"prompt": "Hi", "max_tokens": 100, "user": "x" * 70_000}),
    ],
)
async def test_every_api_refuses_in_its_own_words(path: str, body: Any) -> None:
    graph = Graph(10)
    refused = await graph.post(path, body, 60.0)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    error = refused.json().get("error")
    assert error is None or error["type"] == "rate_limit_error"


async def test_one_that_has_the_time_is_answered() -> None:
    graph = Graph(10, generated(" there"))
    assert (await graph.post(GENERATE, LONG, 300.0)).status_code == 200
    assert graph.load.in_flight == 10


async def test_a_short_one_is_answered_where_a_long_one_is_refused() -> None:
    graph = Graph(10, generated("!"))
    assert (await graph.post(GENERATE, SHORT, 60.0)).status_code == 200


async def test_a_family_with_room_refuses_nobody() -> None:
    graph = Graph(PARALLEL - 1, generated("!"))
    assert (await graph.post(GENERATE, LONG, 30.0)).status_code == 200


async def test_beyond_its_limit_every_request_is_refused() -> None:
    graph = Graph(10, limit=10)
    refused = await graph.post(GENERATE, SHORT, 300.0)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")


async def test_refusals_are_counted() -> None:
    graph = Graph(10)
    await graph.post(GENERATE, LONG, 60.0)
    found = await counted(graph.app)
    assert found["rejections_total", "generate", "rate_limit_error"] == 1


@pytest.mark.parametrize("answer", [Problem("overloaded", "full"), RuntimeError("broken"), FOREVER])
async def test_a_call_that_fails_gives_its_place_back(answer: Any) -> None:
    graph = Graph(10, answer, [answer])
    for path in (GENERATE, STREAM):
        response = await graph.post(path, SHORT, 1.0)
        assert response.status_code >= 429
        assert graph.load.in_flight == 10


async def test_a_refusal_of_a_replica_says_how_long_to_wait_too() -> None:
    graph = Graph(10, Problem("overloaded", "the queue is full"))
    refused = await graph.post(GENERATE, SHORT, 300.0)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "45")


async def test_a_stream_has_its_place_until_its_end() -> None:
    graph = Graph(10, [burst("a"), burst("b", at=1, finish="length")])
    assert (await graph.post(STREAM, LONG, 300.0)).status_code == 200
    assert graph.load.in_flight == 10


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    graph = Graph(10, [burst("a"), FOREVER])
    connection = house.Connection(graph.app, STREAM, LONG)
    await happens(connection.first_chunk)
    assert graph.load.in_flight == 11
    connection.left.set()
    await connection.done
    assert graph.load.in_flight == 10


async def test_requests_that_use_several_families_are_not_refused_early() -> None:
    graph = Graph(10, generated("!"))
    steps = [{"id": "a", "task": "generate", "inputs": LONG | {"max_new_tokens": 1}}]
    response = await graph.post(f"{NATIVE}/graph", {"steps": steps}, 60.0)
    assert response.json()["steps"][0]["status"] == "ok"


def test_the_work_of_a_request_is_what_it_may_write_or_its_texts() -> None:
    request = GenerationRequest("id", "house/fast", prompt="Hi", max_new_tokens=9, choices=3)
    assert work_of(request) == Work(27)
    assert work_of(GenerationRequest("id", "house/fast", prompt="Hi")) == Work(None)
    assert work_of(SummaryRequest("id", "m", ("a", "b"), 50)) == Work(100)
    assert work_of(EmbeddingRequest("m", ("a", "b", "c"))) == Work(3, exact=True)


async def test_a_list_of_texts_is_as_much_work_as_it_has_texts() -> None:
    clock = [0.0]
    load = FamilyLoad(lambda: 1, clock=lambda: clock[0])
    admission = Admission({"embeddings": load})
    places = [Place(load, Work(1, exact=True)) for _ in range(10)]
    for _ in range(20):
        clock[0] += 0.1
        places.append(Place(load, Work(1, exact=True)))
        place = places.pop(0)
        place.answered(None)
        place.close()
    admission.enter("embeddings", EmbeddingRequest("m", ("a",)), 2.0).close()
    with pytest.raises(TooManyRequests):
        admission.enter("embeddings", EmbeddingRequest("m", ("a",) * 100), 2.0)
    admission.check_any(["embeddings"], None, 2.0)
    with pytest.raises(TooManyRequests):
        admission.check_any(["embeddings"], None, 1.0)


def test_what_waits_for_no_model_has_no_place() -> None:
    load = FamilyLoad(lambda: 1, lambda: 0)
    Admission({"generation": load}).enter("generation", DetokenizeRequest("m", (1,)), 1.0)
    assert load.in_flight == 0


async def test_one_that_may_be_short_is_not_refused_before_that_is_known() -> None:
    graph = Graph(10, generated("!"))
    response = await graph.post("/v1/completions", {"prompt": "Hi"}, 60.0)  # 16 tokens
    assert response.status_code == 200


@pytest.mark.parametrize("way", ["generate", "stream"])
async def test_a_request_of_which_a_part_is_done_is_not_refused_for_its_time(way: str) -> None:
    first = generated("!") if way == "generate" else [burst("!", finish="length")]
    graph = Graph(10, first, generated("!"))
    deadline = asyncio.get_running_loop().time() + 95.0
    request, later = (
        graph.app.state.services.client.for_request(None, deadline=deadline) for _ in range(2)
    )
    call = request.call if way == "generate" else request.open_stream
    await call("generation", way, LONG_CALL)  # 55 seconds
    for _ in range(10):
        graph.load.begin()
    await request.call("generation", "generate", LONG_CALL)  # more than 100
    with pytest.raises(TooManyRequests):
        await later.call("generation", "generate", LONG_CALL)


async def test_streams_that_a_replica_refuses_say_nothing_about_the_time() -> None:
    problem = Problem("validation", "too long", "prompt")
    graph = Graph(10, *([problem] for _ in range(3)))
    ended = list(graph.load._ended)
    graph.load._clock = partial(next, count(graph.now, 0.01))
    for _ in range(3):
        assert (await graph.post(STREAM, SHORT, 60.0)).status_code == 400
    assert list(graph.load._ended) == ended


@pytest.mark.parametrize(("error", "counted"), [(DeadlineExceeded, 3), (asyncio.CancelledError, 0)])
def test_calls_that_are_given_up_at_once_say_nothing_about_the_time(
    error: type[BaseException], counted: int
) -> None:
    clock = [0.0]
    load = FamilyLoad(lambda: 1, clock=lambda: clock[0])
    places = [Place(load) for _ in range(3)]
    clock[0] = 0.1
    for place in places:
        place.close(error("late"))
    assert load.in_flight == 0
    assert len(load._ended) == counted
    place = Place(load)
    clock[0] = 5.0
    place.close(error("late"))
    assert len(load._ended) == counted + 1
