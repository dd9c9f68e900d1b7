"""Joined calls wait where replicas have no room, and some are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve_app.ingress.errors import TooManyRequests
from tests.serve_app.ingress.cluster.echo_family import Echo, client, joined
from tests.serve_app.local_handle import happens


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
