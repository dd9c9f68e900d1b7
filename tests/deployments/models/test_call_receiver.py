"""A replica knows the request that a call belongs to, and keeps calls apart."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import AsyncGenerator, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from typing import Any

import pytest
from ray import serve

from deployments.metrics.stage_recorder import recorder_here
from deployments.models.call_receiver import LATE, CallReceiver, owner_here
from deployments.models.fair_shares import NOBODY, Owner
from deployments.models.joined_calls import CallRunner
from deployments.seam.call_context import CallContext, ContextualCall
from deployments.seam.joined_calls import JoinedCalls
from deployments.seam.timings import TimedResult


class Telling(CallReceiver):
    """Answers with the context that it finds, also after a wait."""

    async def tell(self, tenant: str) -> list[str]:
        before = owner_here().tenant
        await asyncio.sleep(0)
        inside = await asyncio.create_task(self._tenant())
        return [before, inside, owner_here().tenant]

    async def stream(self, tenant: str) -> AsyncGenerator[str, None]:
        for _ in range(2):
            yield owner_here().tenant
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

    async def tell_all(self, tenants: Sequence[str], greeting: str = "") -> list[str]:
        own = [owner_here().tenant, *(await self.tell(tenants[0]))]
        return [greeting + each for each in own + [item async for item in self.stream(tenants[0])]]

    async def _tenant(self) -> str:
        return owner_here().tenant


class Shouting:
    """Methods for a family, of a class that is none."""

    async def shout(self, text: str) -> str:
        return f"{owner_here().tenant}: {text.upper()}"


class Louder(Shouting, Telling):
    """A family of two classes, one of whose methods it replaces and one has Serve batch."""

    async def tell(self, tenant: str) -> list[str]:
        return [each.upper() for each in await super().tell(tenant)]

    @serve.batch(max_batch_size=2, batch_wait_timeout_s=0.0)
    async def measure(self, texts: list[str]) -> list[int]:
        return [len(text) + self.more for text in texts]

    more = 10


def call(tenant: str, seconds_left: float = 60.0, *, timed: bool = False) -> Any:
    return ContextualCall(tenant, CallContext(tenant, seconds_left=seconds_left), timed)


async def read(stream: AsyncGenerator[str, None]) -> list[Any]:
    return [item async for item in stream]


async def test_calls_at_the_same_time_keep_their_own_contexts() -> None:
    family = Telling()
    asked = (asyncio.create_task(family.tell(call(name))) for name in "abc")
    assert await asyncio.gather(*asked) == [[name] * 3 for name in "abc"]
    assert owner_here() is NOBODY


async def test_a_method_takes_its_request_alone_too() -> None:
    family = Telling()
    nobody = NOBODY.tenant
    assert await family.tell("a") == [nobody] * 3
    assert await family.tell(tenant="a") == [nobody] * 3
    assert await read(family.stream("a")) == [nobody] * 2


async def test_what_a_method_calls_runs_in_the_context_of_its_call() -> None:
    assert await asyncio.create_task(Telling().tell_all(call("a"))) == ["a"] * 6
    assert await Telling().tell_all(["b"], greeting="to ") == [f"to {NOBODY.tenant}"] * 6


async def test_methods_of_every_base_take_calls() -> None:
    family = Louder()
    assert await family.shout(call("a")) == "a: A"
    assert await family.tell(call("a")) == ["A"] * 3
    assert await read(family.stream(call("a"))) == ["a"] * 2


async def test_a_method_that_serve_batches_takes_calls(in_replica: None) -> None:
    family: Any = Louder()
    asked = (asyncio.create_task(family.measure(call(name))) for name in ("a", "bb"))
    assert await asyncio.gather(*asked) == [11, 12]
    family.measure.set_max_batch_size(1)


def test_serve_sees_what_kind_of_method_takes_the_call() -> None:
    assert iscoroutinefunction(Telling.tell)
    assert isasyncgenfunction(Telling.stream)
    assert Telling.tell.__name__ == "tell"
    assert list(signature(Telling().tell_all).parameters) == ["tenants", "greeting"]


async def test_calls_that_arrived_together_keep_their_own_contexts() -> None:
    runner = CallRunner(Telling(), lambda: None)
    requests = {number: pickle.dumps(call(name)) for number, name in enumerate("ab")}
    answers = [
        pickle.loads(outcome)
        async for ready in runner.run(JoinedCalls("sender", "tell", None, requests))
        for _, outcome in ready
        if isinstance(outcome, bytes)
    ]
    assert answers == [["a"] * 3, ["b"] * 3]


async def test_streams_keep_their_own_contexts() -> None:
    family = Telling()
    streams = (read(family.stream(call(name))) for name in "ab")
    assert await asyncio.gather(*map(asyncio.create_task, streams)) == [["a", "a"], ["b", "b"]]


async def test_only_timed_calls_are_recorded() -> None:
    family = Telling()
    timed, plain = (call("a", timed=each) for each in (True, False))
    assert await asyncio.create_task(read(family.stream(timed))) == ["timed"]
    assert await asyncio.create_task(read(family.stream(plain))) == ["a", "a"]
    answer = await asyncio.create_task(family.tell(call("a", timed=True)))
    assert isinstance(answer, TimedResult)
    assert answer.result == ["a"] * 3


async def test_a_call_belongs_to_a_key_and_a_fairness_id() -> None:
    class Owned(CallReceiver):
        async def tell(self, request: str) -> Owner:
            return owner_here()

    asked: Any = ContextualCall("", CallContext("a", "web", 2.0))
    assert await asyncio.create_task(Owned().tell(asked)) == Owner("a", "web", 2.0)


async def test_a_call_ends_at_its_deadline_although_nobody_cancels_it() -> None:
    family: Any = Telling()
    assert await family.wait(call("a", 0.02)) == LATE
    assert family.ended


async def test_a_call_behind_its_deadline_is_not_begun() -> None:
    family: Any = Telling()
    assert await read(family.stream(call("a", 0.0))) == [LATE]
    assert await family.tell(call("a", 0.0)) == LATE


async def test_a_timeout_of_the_family_is_not_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        await Telling().raise_timeout(call("a"))


async def test_a_call_without_a_deadline_goes_on() -> None:
    assert await Telling().tell(call("a", math.inf)) == ["a"] * 3
