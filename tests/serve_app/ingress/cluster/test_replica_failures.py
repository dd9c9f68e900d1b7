"""Failures as they come over gRPC: what the family raised, what the server did, what the client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fastapi import HTTPException
from ray.exceptions import ActorDiedError, RayActorError
from ray.serve.exceptions import BackPressureError, RequestCancelledError

from deployments.seam.generation import GenerationRequest
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import DeadlineExceeded, InternalError, Unavailable
from tests.serve_app.grpc_replica import GrpcHandle, replicas_of
from tests.serve_app.house import burst
from tests.serve_app.local_handle import FOREVER, PATIENCE_S, Family, happens

REQUEST = GenerationRequest("id-1", "house/fast", prompt="Hi", max_new_tokens=9)
SECRET = "/home/inside/model.py line 7"


class Raising(Family):
    """Raises whatever it was made with, also what is no ``Exception``."""

    async def _given(self, answer: Any) -> Any:
        if isinstance(answer, BaseException):
            self.began.set()
            raise answer
        return await super()._given(answer)


RAISED: list[BaseException] = [
    ValueError(SECRET),
    TimeoutError(SECRET),
    asyncio.CancelledError(SECRET),
    StopAsyncIteration(SECRET),
    HTTPException(418, SECRET),
    BackPressureError(9, 9),
    RequestCancelledError(SECRET),
    RayActorError(error_msg=SECRET),
    ActorDiedError(),
    Unavailable(SECRET),
    MemoryError(SECRET),
]


def calls(handle: GrpcHandle, **settings: Any) -> DeploymentClient:
    return DeploymentClient({"generation": handle}, **{"timeout_s": PATIENCE_S, **settings})


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
async def test_what_a_family_raises_is_an_internal_error_of_whatever_class(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with replicas_of(Raising(raised)) as (handle, _):
        with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as caught:
            await calls(handle).call("generation", "generate", REQUEST)
    assert handle.calls == 1
    assert SECRET not in caught.value.message
    assert type(raised).__name__ in caplog.text


@pytest.mark.parametrize("first", [[], [burst("a")]], ids=["at once", "in the middle"])
@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
async def test_what_a_family_raises_in_a_stream_ends_it_as_an_internal_error(
    raised: BaseException, first: list[Any]
) -> None:
    async with replicas_of(Raising([*first, raised])) as (handle, _):
        with pytest.raises(InternalError):
            async for _ in await calls(handle).open_stream("generation", "stream", REQUEST):
                pass
    assert handle.calls == 1


async def test_a_failure_that_cannot_be_pickled_is_an_internal_error() -> None:
    class Local(Exception):
        """Of a class that the other side cannot import."""

    async with replicas_of(Raising(Local())) as (handle, _):
        with pytest.raises(InternalError):
            await calls(handle).call("generation", "generate", REQUEST)
    assert handle.calls == 1


async def test_a_call_whose_replica_ends_goes_to_another_one() -> None:
    first, second = Family(FOREVER), Family("an answer")
    async with replicas_of(first, second) as (handle, replicas):
        asking = asyncio.create_task(calls(handle).call("generation", "generate", REQUEST))
        await happens(first.began)
        await replicas[0].end()
        assert await asyncio.wait_for(asking, PATIENCE_S) == "an answer"
    assert first.asked == second.asked == [REQUEST]


async def test_a_stream_whose_replica_ends_goes_on_at_another_one() -> None:
    first = Family([burst("a"), FOREVER])
    second = Family([burst("b", at=1, finish="stop")])
    async with replicas_of(first, second) as (handle, replicas):
        bursts = await calls(handle).open_stream("generation", "stream", REQUEST)
        iterator = aiter(bursts)
        assert (await anext(iterator)).tokens[0].text == "a"
        following = asyncio.ensure_future(anext(iterator))
        await replicas[0].end()
        assert (await asyncio.wait_for(following, PATIENCE_S)).tokens[0].text == "b"
    assert second.asked[0].delivered == ((100,),)


async def test_a_call_that_loses_a_second_replica_is_a_503() -> None:
    families = [Family(FOREVER), Family(FOREVER), Family("never given")]
    async with replicas_of(*families) as (handle, replicas):
        asking = asyncio.create_task(calls(handle).call("generation", "generate", REQUEST))
        for family, replica in zip(families[:2], replicas, strict=False):
            await happens(family.began)
            await replica.end()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(asking, PATIENCE_S)
    assert families[2].asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_what_did_not_move_for_as_long_as_a_stall_is_not_sent_to_the_next_replica(
    stream: bool,
) -> None:
    answer = [FOREVER] if stream else FOREVER
    first, second = Family(answer), Family(answer)
    async with replicas_of(first, second) as (handle, replicas):
        made = calls(handle, stall_timeout_s=0.0)
        call = made.open_stream if stream else made.call
        method = "stream" if stream else "generate"
        asking = asyncio.ensure_future(call("generation", method, REQUEST))
        await happens(first.began)
        await replicas[0].end()
        with pytest.raises(Unavailable) as caught:
            await asyncio.wait_for(asking, PATIENCE_S)
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert second.asked == []


async def test_a_stream_that_got_on_is_continued_after_one_stall_and_not_after_two() -> None:
    first, second = Family([burst("a"), FOREVER]), Family([burst("b", at=1), FOREVER])
    third = Family([burst("never given")])
    async with replicas_of(first, second, third) as (handle, replicas):
        made = calls(handle, stall_timeout_s=0.0)
        iterator = aiter(await made.open_stream("generation", "stream", REQUEST))
        assert (await anext(iterator)).tokens[0].text == "a"
        following = asyncio.ensure_future(anext(iterator))
        await replicas[0].end()
        assert (await asyncio.wait_for(following, PATIENCE_S)).tokens[0].text == "b"
        following = asyncio.ensure_future(anext(iterator))
        await replicas[1].end()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(following, PATIENCE_S)
    assert second.asked[0].delivered == ((100,),)
    assert third.asked == []


async def test_a_client_that_leaves_cancels_its_call_and_the_work() -> None:
    family = Family(FOREVER, "never given")
    async with replicas_of(family) as (handle, _):
        asking = asyncio.create_task(calls(handle).call("generation", "generate", REQUEST))
        await happens(family.began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await happens(family.stopped)
    assert handle.calls == 1


async def test_a_reader_that_leaves_cancels_its_stream_and_the_work() -> None:
    family = Family([burst("a"), FOREVER])
    async with replicas_of(family) as (handle, _):
        iterator = aiter(await calls(handle).open_stream("generation", "stream", REQUEST))
        await anext(iterator)
        reading = asyncio.ensure_future(anext(iterator))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await happens(family.stopped)
    assert handle.calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_only_our_own_deadline_is_a_504(stream: bool) -> None:
    family = Family([FOREVER] if stream else FOREVER)
    async with replicas_of(family) as (handle, _):
        made = calls(handle, timeout_s=0.2)
        call = made.open_stream if stream else made.call
        with pytest.raises(DeadlineExceeded):
            await call("generation", "stream" if stream else "generate", REQUEST)
        await happens(family.stopped)
