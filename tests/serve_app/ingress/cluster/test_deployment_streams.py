"""Streams: one that breaks is an error, or goes on elsewhere, and nobody works for one who left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deployments.seam.generation import TokenChunk
from deployments.seam.problems import Problem
from serve_app.ingress.cluster.handle_router import HandleRouter
from serve_app.ingress.errors import DeadlineExceeded, ServiceError, Unavailable
from tests.serve_app.house import burst
from tests.serve_app.ingress.cluster.replica_calls import (
    FAILURES,
    LOST,
    REFUSED,
    REQUEST,
    SECRET,
    calls,
)
from tests.serve_app.local_handle import FOREVER, Family, happens


async def read(family: Family, texts: list[str] | None = None) -> list[str]:
    """Every text of a stream, to its end; also in ``texts``, up to where it breaks."""
    texts = [] if texts is None else texts
    async for item in await calls(family).open_stream("generation", "stream", REQUEST):
        texts += [token.text for token in item.tokens]
    return texts


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_before_the_first_token_has_its_status(
    failure: Exception, status: int
) -> None:
    with pytest.raises(ServiceError) as caught:
        await read(Family([failure]))
    assert caught.value.status == status


@pytest.mark.parametrize(("failure", "status"), FAILURES)
async def test_each_failure_in_a_stream_ends_it_as_an_error(
    failure: Exception, status: int
) -> None:
    bursts = await calls(Family([burst("a"), failure])).open_stream("generation", "stream", REQUEST)
    read: list[TokenChunk] = []
    with pytest.raises(ServiceError) as caught:
        read.extend([item async for item in bursts])
    assert caught.value.status == status
    assert SECRET not in caught.value.message


async def test_a_stream_brings_every_burst_the_first_included() -> None:
    family = Family([burst("a", "b"), burst("c", at=2, finish="stop")])
    assert await read(family) == ["a", "b", "c"]


async def test_a_problem_as_the_first_item_is_an_ordinary_error() -> None:
    family = Family([REFUSED, FOREVER])
    with pytest.raises(ServiceError) as caught:
        await calls(family).open_stream(
            "generation", "stream", REQUEST, {"max_new_tokens": "max_tokens"}
        )
    assert (caught.value.status, caught.value.field) == (400, "max_tokens")
    await happens(family.stopped)


async def test_a_problem_in_a_stream_ends_it_as_an_error() -> None:
    family = Family([burst("a"), Problem("unavailable", "no memory left"), FOREVER])
    bursts = await calls(family).open_stream("generation", "stream", REQUEST)
    iterator = aiter(bursts)
    assert (await anext(iterator)).tokens[0].text == "a"
    with pytest.raises(Unavailable, match="no memory left"):
        await anext(iterator)
    await happens(family.stopped)


async def test_a_stream_without_any_item_is_an_error_not_an_empty_answer() -> None:
    with pytest.raises(ServiceError) as caught:
        await read(Family([]))
    assert caught.value.status == 500


async def test_a_replica_lost_before_the_first_token_is_tried_once_more() -> None:
    assert await read(Family([LOST], [burst("a", finish="stop")])) == ["a"]
    with pytest.raises(Unavailable):
        await read(Family([LOST], [LOST], [burst("never")]))


async def test_a_replica_lost_in_a_stream_is_followed_by_one_that_goes_on_behind_it() -> None:
    family = Family([burst("a", "b"), LOST], [burst("c", at=2, finish="stop")])
    assert await read(family) == ["a", "b", "c"]
    first, second = family.asked
    assert first == REQUEST
    assert second.delivered == ((100, 101),)
    assert second.sampling.seed == REQUEST.sampling.seed


async def test_a_stream_that_gets_on_outlives_three_replicas_and_no_more() -> None:
    family = Family(*([burst(text, at=place), LOST] for place, text in enumerate("abcd")))
    texts: list[str] = []
    with pytest.raises(Unavailable):
        await read(family, texts)
    assert texts == ["a", "b", "c", "d"]
    assert len(family.asked) == 4


async def test_a_silent_stream_goes_on_elsewhere_once_its_replica_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve_app.ingress.cluster.chunk_stream.SILENCE_S", 0.01)
    family = Family([burst("a"), FOREVER], [burst("b", at=1, finish="stop")])
    looks = iter((False, False, True))
    monkeypatch.setattr(HandleRouter, "has_left", lambda *_: next(looks, False))
    assert await read(family) == ["a", "b"]
    assert family.asked[1].delivered == ((100,),)


async def test_a_stream_whose_last_token_has_come_needs_no_replica_any_more() -> None:
    family = Family([burst("a", finish="stop"), LOST])
    assert await read(family) == ["a"]
    assert len(family.asked) == 1


async def test_closing_a_stream_stops_the_work() -> None:
    family = Family([burst("a"), FOREVER])
    bursts = await calls(family).open_stream("generation", "stream", REQUEST)
    assert not family.stopped.is_set()
    bursts.close()
    await happens(family.stopped)


async def test_a_reader_of_a_stream_that_is_cancelled_stops_the_work() -> None:
    family = Family([burst("a"), FOREVER])
    iterator = aiter(await calls(family).open_stream("generation", "stream", REQUEST))
    await anext(iterator)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(iterator)
    await happens(family.stopped)


async def test_who_leaves_before_the_first_token_stops_the_work() -> None:
    family = Family([FOREVER])
    opening = asyncio.ensure_future(calls(family).open_stream("generation", "stream", REQUEST))
    await happens(family.began)
    opening.cancel()
    await happens(family.stopped)
    with pytest.raises(asyncio.CancelledError):
        await opening


@pytest.mark.parametrize("items", [[FOREVER], [burst("a"), FOREVER]])
async def test_the_deadline_ends_a_stream_and_its_work(items: list[Any]) -> None:
    family = Family(items)
    with pytest.raises(DeadlineExceeded):
        async for _ in await calls(family, 0.01).open_stream("generation", "stream", REQUEST):
            pass
    await happens(family.stopped)
