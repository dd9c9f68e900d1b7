"""Joined calls: those that come while the way is busy share a list, and each keeps its own end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError

from deployments.models.joined_calls import CallRunner
from deployments.seam.call_context import CallContext
from deployments.seam.decisions import DecisionRequest
from deployments.seam.generation import GenerationRequest
from deployments.seam.joined_calls import CancelledCalls, JoinedAnswers, JoinedCalls
from deployments.seam.problems import Problem
from deployments.seam.replicas import ModelOrder
from deployments.seam.timings import CallTiming
from serve_app.ingress.cluster import joined_calls
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import (
    DeadlineExceeded,
    InternalError,
    TooManyRequests,
    Unavailable,
    ValidationFailed,
)
from tests.serve_app.grpc_replica import GrpcHandle, replicas_of
from tests.serve_app.local_handle import (
    PATIENCE_S,
    TIMING,
    Contextual,
    Family,
    LocalHandle,
    happens,
)

FIRST = "first"
SECRET = "/home/inside/model.py line 7"


@dataclass(frozen=True)
class Asked:
    """A request; its replica answers with ``text`` once ``text`` is allowed, if that is awaited."""

    text: str
    model: str = "house/vectors"


class Echo(Contextual):
    """A family that answers a text with the text, unless it is told otherwise."""

    def __init__(self, max_running: int | None = None) -> None:
        super().__init__()
        self.lists: list[JoinedCalls] = []
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.began: dict[str, asyncio.Event] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.ended = asyncio.Event()
        self.answers: dict[str, Callable[[], Any]] = {}
        self._calls = CallRunner(self, lambda: max_running)

    def hold(self, *texts: str) -> None:
        """Answer these only when :meth:`release` is called."""
        for text in texts:
            self.gates[text], self.began[text] = asyncio.Event(), asyncio.Event()

    def release(self, text: str) -> None:
        self.gates[text].set()

    async def embed(self, asked: Asked) -> Any:
        if asked.text == FIRST:
            return FIRST
        self.asked.append(asked.text)
        try:
            if asked.text in self.gates:
                self.began[asked.text].set()
                await self.gates[asked.text].wait()
            return self.answers.get(asked.text, lambda: asked.text)()
        except asyncio.CancelledError:
            self.stopped.append(asked.text)
            self.ended.set()
            raise

    async def reverse(self, asked: Asked) -> str:
        return asked.text[::-1]

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        self.lists.append(calls)
        async for ready in self._calls.run(calls):
            yield ready

    async def cancel_calls(self, cancelled: CancelledCalls) -> None:
        self._calls.cancel(cancelled)

    @property
    def sizes(self) -> list[int]:
        return [len(calls.requests) for calls in self.lists]


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


def client(family: Any, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"texts": LocalHandle(family)}, timeout_s, joined=["texts"])


def over(handle: GrpcHandle, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"texts": handle}, timeout_s, joined=["texts"])


async def ask(calls: DeploymentClient, text: str, model: str = "house/vectors") -> Any:
    return await calls.call("texts", "embed", Asked(text, model))


def asking(calls: DeploymentClient, *texts: str) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(ask(calls, text)) for text in texts]


def joined(calls: DeploymentClient, *texts: str) -> list[asyncio.Task[Any]]:
    """The same, behind another call, so that they travel as a list."""
    return asking(calls, FIRST, *texts)[1:]


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


async def test_a_slow_call_delays_neither_its_companions_nor_those_that_come_later() -> None:
    family = Echo()
    family.hold("slow")
    calls = client(family)
    slow, *quick = joined(calls, "slow", "a", "b")
    assert await asyncio.gather(*quick) == ["a", "b"]
    assert await ask(calls, "c") == "c"
    assert not slow.done()
    family.release("slow")
    assert await slow == "slow"


async def test_a_caller_that_leaves_stops_its_own_call_alone() -> None:
    family = Echo()
    family.hold("a", "b")
    first, second = joined(client(family), "a", "b")
    await happens(family.began["b"])
    first.cancel()
    await happens(family.ended)
    assert family.stopped == ["a"]
    family.release("b")
    assert await second == "b"


async def test_the_last_caller_that_leaves_ends_the_list() -> None:
    family = Echo()
    family.hold("a")
    (first,) = joined(client(family), "a")
    await happens(family.began["a"])
    first.cancel()
    await happens(family.ended)
    assert family.stopped == ["a"]


async def test_a_caller_that_leaves_before_its_list_does_is_not_in_it() -> None:
    family = Echo()
    first, second = joined(client(family), "a", "b")
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "b"
    assert family.asked == ["b"]


async def test_the_deadline_of_one_call_ends_that_call_alone() -> None:
    family = Echo()
    family.hold("late", "b")
    calls = client(family)
    (other,) = joined(calls, "b")
    late = asyncio.ensure_future(calls.call("texts", "embed", Asked("late"), timeout_s=0.01))
    with pytest.raises(DeadlineExceeded):
        await late
    await happens(family.ended)
    assert family.stopped == ["late"]
    family.release("b")
    assert await other == "b"


async def test_a_call_that_fails_fails_alone_and_shows_no_internals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    family = Echo()

    def fail() -> Any:
        raise ValueError(SECRET)

    family.answers["bad"] = fail
    bad, good = joined(client(family), "bad", "good")
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as caught:
        await bad
    assert SECRET not in caught.value.message
    assert SECRET in caplog.text
    assert await good == "good"


@pytest.mark.parametrize(
    "raised", [SystemExit(1), asyncio.CancelledError(), BackPressureError(9, 9)]
)
async def test_whatever_a_call_raises_is_an_internal_error_of_its_own(
    raised: BaseException,
) -> None:
    family = Echo()

    def fail() -> Any:
        raise raised

    family.answers["bad"] = fail
    bad, good = joined(client(family), "bad", "good")
    with pytest.raises(InternalError):
        await bad
    assert await good == "good"


async def test_an_answer_that_cannot_be_pickled_fails_alone() -> None:
    family = Echo()
    family.answers["bad"] = lambda: lambda: None
    bad, good = joined(client(family), "bad", "good")
    with pytest.raises(InternalError):
        await bad
    assert await good == "good"


async def test_a_problem_is_raised_under_the_routes_name_of_the_field() -> None:
    family = Echo()
    family.answers["a"] = lambda: Problem("validation", "too long", "texts")
    with pytest.raises(ValidationFailed) as caught:
        await client(family).call("texts", "embed", Asked("a"), {"texts": "input"})
    assert caught.value.field == "input"


async def test_calls_for_which_a_replica_has_no_room_wait_and_all_are_answered() -> None:
    family = Echo(max_running=2)
    family.hold("a", "b")
    first, second, third = joined(client(family), "a", "b", "c")
    await happens(family.began["b"])
    assert family.asked == ["a", "b"]
    family.release("a")
    assert [await first, await third] == ["a", "c"]
    family.release("b")
    assert await second == "b"


async def test_serve_is_told_of_calls_that_wait_here() -> None:
    family = Echo(max_running=1)
    family.hold("a")
    calls = client(family)
    joiner: Any = calls._joiners["texts"]
    told: list[int] = []
    returned = asyncio.Event()

    def count_waiting(_: object, waiting: int) -> None:
        told.append(waiting)
        if told[-3:] == [0, 1, 2]:  # both that the replica had no room for
            returned.set()

    counting = {"count_waiting": count_waiting}
    joiner.router.__class__ = type("Counting", (type(joiner.router),), counting)
    tasks = joined(calls, "a", "b", "c")
    await happens(returned)
    assert family.asked == ["a"]
    family.release("a")
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert told[-1] == 0


async def test_no_replica_works_on_more_calls_than_it_may() -> None:
    family = Echo(max_running=3)
    texts = [f"text {n}" for n in range(10)]
    family.hold(*texts)
    tasks = joined(client(family), *texts)
    for text in texts[:3]:
        await happens(family.began[text])
    assert family.asked == texts[:3]
    for text in texts:
        family.release(text)
    assert sorted(await asyncio.gather(*tasks)) == sorted(texts)


async def test_more_calls_than_may_wait_are_refused() -> None:
    family = Echo()
    calls = client(family)
    joiner: Any = calls._joiners["texts"]
    joiner.router.__class__ = type("Limited", (type(joiner.router),), {"max_queued_requests": 2})
    first, second, refused = joined(calls, "a", "b", "c")
    with pytest.raises(TooManyRequests):
        await refused
    assert [await first, await second] == ["a", "b"]
    assert joiner.queued == 0


async def test_a_list_is_a_share_of_what_waits_where_there_are_several_replicas() -> None:
    family = Echo()
    calls = client(family)
    joiner: Any = calls._joiners["texts"]
    joiner.router.__class__ = type("Three", (type(joiner.router),), {"replicas": 3})
    texts = [f"text {n}" for n in range(9)]
    assert await asyncio.gather(*joined(calls, *texts)) == texts
    assert family.sizes[0] == 3


async def test_over_grpc_calls_that_come_while_another_is_in_flight_travel_together() -> None:
    family = Echo()
    family.hold("slow")
    async with replicas_of(family) as (handle, _):
        calls = over(handle)
        (slow,) = asking(calls, "slow")
        await happens(family.began["slow"])
        texts = [f"text {n}" for n in range(5)]
        assert await asyncio.gather(*asking(calls, *texts)) == texts
        family.release("slow")
        assert await slow == "slow"
    assert family.sizes == [5]


async def test_calls_whose_replica_ends_are_tried_again_each_alone() -> None:
    first, second = Echo(), Echo()
    first.hold("a", "b", "c")
    async with replicas_of(Echo(), first, second) as (handle, replicas):
        tasks = joined(over(handle), "a", "b", "c")
        await happens(first.began["c"])
        await replicas[1].end()
        assert await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S) == ["a", "b", "c"]
    assert first.sizes == [3]
    assert second.sizes == []


async def test_a_call_that_loses_a_second_replica_is_a_503() -> None:
    families = [Echo(), Echo(), Echo()]
    for family in families[:2]:
        family.hold("a")
    async with replicas_of(Echo(), *families) as (handle, replicas):
        (task,) = joined(over(handle), "a")
        for family, replica in zip(families[:2], replicas[1:], strict=False):
            await happens(family.began["a"])
            await replica.end()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(task, PATIENCE_S)
    assert families[2].asked == []


async def test_over_grpc_the_last_caller_that_leaves_stops_the_work() -> None:
    family = Echo()
    family.hold("a")
    async with replicas_of(family) as (handle, _):
        (task,) = joined(over(handle), "a")
        await happens(family.began["a"])
        task.cancel()
        await happens(family.ended)
    assert family.stopped == ["a"]
