"""How much may wait in a lane, and who gets room when it is full."""

from __future__ import annotations

import asyncio

from deployments.batching.scheduler import BatchLimits, QueuedRequest
from deployments.models.call_receiver import enter_context
from deployments.models.fair_shares import Owner
from deployments.seam.call_context import CallContext, ContextualCall
from tests.deployments.batching.lanes import answered, lane_of, size
from tests.deployments.forwards import PATIENCE_S, Forwards


async def test_what_waits_is_bounded_in_bytes() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1), nbytes=size, max_bytes=100)
    assert lane.has_room_for([1000])  # of one alone there is never too much
    futures = lane.admit([10])
    await forwards.started()
    futures += lane.admit([60])  # what runs does not wait
    assert lane.has_room_for([20, 20])
    assert not lane.has_room_for([20, 21])
    futures[1].cancel()
    await asyncio.sleep(0)
    futures += lane.admit([90])
    assert not lane.has_room_for([11])
    forwards.end(2)
    await answered([futures[0], futures[2]])
    assert lane.has_room_for([100])


async def test_one_key_leaves_room_for_the_others() -> None:
    forwards = Forwards()
    lane = lane_of(forwards, BatchLimits(max_items=1), nbytes=size, max_bytes=100)
    flood, other = Owner("flood", ""), Owner("other", "")
    futures = lane.admit([1])
    await forwards.started()
    futures += lane.admit([70], QueuedRequest(owner=flood))
    assert lane.has_room_for([5], flood)
    futures += lane.admit([5], QueuedRequest(owner=flood))
    assert not lane.has_room_for([1], flood)
    assert lane.has_room_for([20], other)
    futures += lane.admit([20], QueuedRequest(owner=other))
    assert not lane.has_room_for([6], other)
    forwards.end(4)
    await answered(futures)


async def test_room_goes_first_to_the_key_of_which_least_waits() -> None:
    forwards = Forwards()
    lane, order = lane_of(forwards, nbytes=size), list[str]()
    futures = lane.admit([1])
    await forwards.started()
    futures += lane.admit([9], QueuedRequest(owner=Owner("flood", "")))
    room = 0

    async def waits(tenant: str) -> None:
        nonlocal room
        enter_context(ContextualCall(None, CallContext(tenant)))
        await lane.room.wait(lambda _: room > 0)
        room -= 1
        order.append(tenant)

    waiting = [asyncio.create_task(waits(name)) for name in ("flood", "flood", "other")]
    await asyncio.sleep(0)
    room = 3
    lane.room.recheck()
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
    assert order == ["other", "flood", "flood"]
    forwards.end(2)
    await answered(futures)


async def test_room_goes_to_those_that_came_first_and_not_to_newcomers() -> None:
    lane = lane_of(lambda batch: batch)
    room, order = 0, list[str]()

    async def waits(name: str) -> None:
        nonlocal room
        await lane.room.wait(lambda _: room > 0)
        room -= 1
        order.append(name)

    first, gone, last = (asyncio.create_task(waits(name)) for name in ("first", "gone", "last"))
    await asyncio.sleep(0)
    gone.cancel()
    room = 2
    lane.room.recheck()
    newcomer = asyncio.create_task(waits("newcomer"))
    await asyncio.wait_for(asyncio.gather(first, last), PATIENCE_S)
    assert order == ["first", "last"]
    room = 1
    lane.room.recheck()
    await asyncio.wait_for(newcomer, PATIENCE_S)
    assert not lane.room._waiting
