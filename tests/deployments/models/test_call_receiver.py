"""A replica knows the request that a call belongs to, and keeps calls apart."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import AsyncGenerator

import pytest

from deployments.metrics.stage_recorder import recorder_here
from deployments.models.call_receiver import LATE, WITHOUT_CONTEXT, CallReceiver, context_here
from deployments.models.joined_calls import CallRunner
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.joined_calls import JoinedCalls
from deployments.seam.timings import TimedResult


class Telling(CallReceiver):
    """Answers with the context that it finds, also after a wait."""

    async def tell(self, tenant: str) -> list[str]:
        before = context_here().tenant
        await asyncio.sleep(0)
        inside = await asyncio.create_task(self._tenant())
        return [before, inside, context_here().tenant]

    async def stream(self, tenant: str) -> AsyncGenerator[str, None]:
        for _ in range(2):
            yield context_here().tenant
            await asyncio.sleep(0)

    async def timed_stream(self, tenant: str) -> AsyncGenerator[str, None]:
        yield "timed" if recorder_here() is not None else "not timed"

    async def wait(self, tenant: str) -> None:
        self.began = True
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    async def raise_timeout(self, tenant: str) -> None:
        raise TimeoutError

    async def _tenant(self) -> str:
        return context_here().tenant


def call(tenant: str, method: str = "tell", *, timed: bool = False) -> ContextualCall:
    return ContextualCall(method, tenant, CallContext(tenant, seconds_left=60.0), timed)


async def read(stream: AsyncGenerator[str, None]) -> list[str]:
    return [item async for item in stream]


async def test_calls_at_the_same_time_keep_their_own_contexts() -> None:
    family = Telling()
    asked = (asyncio.create_task(family.call(call(name))) for name in "abc")
    assert await asyncio.gather(*asked) == [[name] * 3 for name in "abc"]
    assert context_here() is WITHOUT_CONTEXT


async def test_calls_that_arrived_together_keep_their_own_contexts() -> None:
    runner = CallRunner(Telling(), lambda: None)
    requests = {number: pickle.dumps(call(name)) for number, name in enumerate("ab")}
    answers = [
        pickle.loads(outcome)
        async for ready in runner.run(JoinedCalls("sender", "call", None, requests))
        for _, outcome in ready
        if isinstance(outcome, bytes)
    ]
    assert answers == [["a"] * 3, ["b"] * 3]


async def test_streams_keep_their_own_contexts() -> None:
    family = Telling()
    streams = (read(family.call_stream(call(name, "stream"))) for name in "ab")
    assert await asyncio.gather(*map(asyncio.create_task, streams)) == [["a", "a"], ["b", "b"]]


async def test_only_timed_calls_are_recorded() -> None:
    family = Telling()
    timed, plain = (call("a", "stream", timed=each) for each in (True, False))
    assert await asyncio.create_task(read(family.call_stream(timed))) == ["timed"]
    assert await asyncio.create_task(read(family.call_stream(plain))) == ["a", "a"]
    answer = await asyncio.create_task(family.call(call("a", timed=True)))
    assert isinstance(answer, TimedResult)
    assert answer.result == ["a"] * 3


async def test_the_deadline_is_of_this_process_own_clock() -> None:
    class Deadline(CallReceiver):
        async def tell(self, request: str) -> float:
            return context_here().deadline

    before = time.monotonic()
    deadline = await asyncio.create_task(Deadline().call(call("a")))
    assert before + 60.0 <= deadline <= time.monotonic() + 60.0


async def test_a_call_ends_at_its_deadline_although_nobody_cancels_it() -> None:
    family = Telling()
    late = await family.call(ContextualCall("wait", "a", CallContext("a", seconds_left=0.02)))
    assert late == LATE
    assert family.ended


async def test_a_call_behind_its_deadline_is_not_begun() -> None:
    family = Telling()
    context = CallContext("a", seconds_left=0.0)
    (item,) = [each async for each in family.call_stream(ContextualCall("stream", "a", context))]
    assert item == LATE
    assert await family.call(ContextualCall("tell", "a", context)) == LATE


async def test_a_timeout_of_the_family_is_not_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        await Telling().call(call("a", "raise_timeout"))


async def test_a_call_without_a_deadline_goes_on() -> None:
    assert await Telling().call(ContextualCall("tell", "a", CallContext("a"))) == ["a"] * 3
