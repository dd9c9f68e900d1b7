"""Joined calls: those that come while the way is busy share a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from deployments.seam.call_context import CallContext
from deployments.seam.decisions import DecisionRequest
from deployments.seam.generation import GenerationRequest
from deployments.seam.joined_calls import JoinedAnswers, JoinedCalls
from deployments.seam.replicas import ModelOrder
from deployments.seam.timings import CallTiming
from serve_app.ingress.cluster import joined_calls
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from tests.serve_app.ingress.cluster.echo_family import (
    FIRST,
    Asked,
    Echo,
    ask,
    asking,
    client,
    joined,
)
from tests.serve_app.local_handle import PATIENCE_S, TIMING, Family, LocalHandle


class Timed:
    """Observes calls for their timing."""

    timed = True

    def __init__(self) -> None:
        self.timings: list[CallTiming] = []

    def call_started(self, request: Any) -> Timed:
        return self

    def result_received(self, answer: Any) -> None:
        assert isinstance(answer, str)

    def timing_received(self, timing: CallTiming) -> None:
        self.timings.append(timing)

    def stream_started(self) -> Any:
        raise AssertionError("a stream")


class Both(Echo):
    """Lists are refused; single calls go to ``family``."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.generate = family.generate

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        raise AssertionError("a list")
        yield


async def test_calls_for_a_timeline_share_a_list_too_and_each_is_told_its_stages() -> None:
    family, observer = Echo(), Timed()
    calls = client(family).for_request(CallContext(), observer)
    assert await asyncio.gather(*asking(calls, FIRST, "a", "b", "c")) == [FIRST, "a", "b", "c"]
    assert family.sizes == [3]
    assert observer.timings == [TIMING] * 4


async def test_each_call_of_a_list_brings_the_context_of_its_request() -> None:
    family = Echo()
    everyone = client(family)
    requests = [everyone.for_request(CallContext(tenant)) for tenant in ("a", "b", "c")]
    await asyncio.gather(*(ask(calls, f"of {n}") for n, calls in enumerate(requests)))
    assert family.sizes == [2]
    assert [context.tenant for context in family.contexts] == ["a", "b", "c"]
    assert all(0 < context.seconds_left <= PATIENCE_S for context in family.contexts)


async def test_calls_one_after_the_other_are_ordinary_calls() -> None:
    family = Echo()
    calls = client(family)
    assert [await ask(calls, text) for text in ("a", "b")] == ["a", "b"]
    assert family.sizes == []


async def test_calls_that_come_at_the_same_time_travel_together_and_each_has_its_own_answer() -> (
    None
):
    family = Echo()
    texts = [f"text {n}" for n in range(20)]
    assert await asyncio.gather(*joined(client(family), *texts)) == texts
    assert family.sizes == [20]


async def test_calls_of_other_models_do_not_share_a_list() -> None:
    family = Echo()
    calls = client(family)
    await asyncio.gather(*(ask(calls, "a", model) for model in ("one", "two", "one", "two", "one")))
    sizes = {each.model: len(each.requests) for each in family.lists}
    assert sizes == {"one": 2, "two": 1}


async def test_calls_of_other_methods_do_not_share_a_list() -> None:
    family = Echo()
    calls = client(family).for_request(CallContext())
    methods = ["embed", "reverse"] * 3
    asked = (calls.call("texts", method, Asked("ab")) for method in methods)
    assert await asyncio.gather(*asked) == ["ab", "ba"] * 3
    assert {each.method: len(each.requests) for each in family.lists} == {"embed": 2, "reverse": 2}


async def test_text_generation_and_orders_never_share_a_list() -> None:
    family = Family(*["an answer"] * 9)
    calls = DeploymentClient({"texts": LocalHandle(Both(family))}, PATIENCE_S, joined=["texts"])
    generate = GenerationRequest("id-1", "house/fast", prompt="Hi", max_new_tokens=9)
    decide = DecisionRequest("id-2", "house/fast", "a state", ())
    for request in (generate, decide, ModelOrder("house/fast", 1.0)):
        asked = [calls.call("texts", "generate", request) for _ in range(3)]
        assert await asyncio.gather(*asked) == ["an answer"] * 3
    assert len(family.asked) == 9


async def test_more_than_a_list_holds_travels_in_several() -> None:
    family = Echo()
    texts = [f"text {n}" for n in range(joined_calls.MAX_CALLS + 3)]
    assert await asyncio.gather(*joined(client(family), *texts)) == texts
    assert family.sizes == [joined_calls.MAX_CALLS, 3]


async def test_large_requests_share_no_list_beyond_its_bytes() -> None:
    family = Echo()
    large = "x" * (joined_calls.MAX_BYTES // 2)
    texts = ["a", large + "1", large + "2", large + large]
    assert await asyncio.gather(*joined(client(family), *texts)) == texts
    assert family.sizes == [2, 1, 1]
