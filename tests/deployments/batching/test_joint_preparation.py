"""Parts that come while another is prepared are prepared together, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from deployments.batching.joint_preparation import JointPreparation, RequestItems, Unprepared
from deployments.batching.scheduler import QueuedRequest
from deployments.batching.tuning import PART_CHARACTERS, PART_ITEMS
from deployments.models.fair_shares import Owner
from deployments.seam.problems import Problem
from tests.deployments.forwards import PATIENCE_S


class Room:
    """A lane that has room for so many items, and keeps them."""

    name = "a model"

    def __init__(self, items: int = 1000) -> None:
        self.items: list[Any] = []
        self._max = items

    def has_room_for(self, items: Sequence[Any], owner: Owner) -> bool:
        return len(self.items) + len(items) <= self._max

    def admit(self, items: Sequence[Any], request: QueuedRequest) -> list[asyncio.Future[Any]]:
        self.items += items
        return [asyncio.get_running_loop().create_future() for _ in items]


class Thread:
    """Keeps what is prepared in each call. ``gate`` holds up the first."""

    def __init__(self, *, gate_open: bool = False) -> None:
        self.calls: list[list[Any]] = []
        self.gate = asyncio.Event()
        if gate_open:
            self.gate.set()

    async def __call__(self, function: Callable[..., Any], inputs: Sequence[Any]) -> Any:
        self.calls.append(list(inputs))
        await self.gate.wait()
        return function(inputs)


def lengths(texts: Sequence[str]) -> list[int | Problem]:
    if "bad" in texts:
        raise UnicodeError("bad")
    texts = [text for text in texts if text != "forgotten"]
    return [Problem("validation", "empty") if text == "" else len(text) for text in texts]


def ignored(items: Sequence[Any]) -> None:
    """Nobody has to know the items."""


def refused(items: Sequence[Any]) -> None:
    raise LookupError


def untimed(name: str) -> AbstractContextManager[None]:
    return nullcontext()


def part(
    lane: Any,
    *texts: str,
    key: Hashable = "a model",
    weight: int = 1,
    tenant: str = "one",
    told: Callable[[Sequence[Any]], None] = ignored,
) -> RequestItems:
    unprepared = Unprepared(texts, lengths, key, weight, told)
    admitted = asyncio.get_running_loop().create_future()
    return RequestItems(lane, unprepared, QueuedRequest(owner=Owner(tenant, "")), admitted)


async def prepared(*later: RequestItems, lane: Any) -> list[list[Any]]:
    """The calls for ``later``, which came while another part was prepared."""
    thread = Thread()
    preparation = JointPreparation(thread, untimed)
    first = part(lane, "first")
    preparation.add([first])
    await asyncio.sleep(0)
    for each in later:
        preparation.add([each])
    thread.gate.set()
    await asyncio.wait([items.admitted for items in (first, *later)])
    return thread.calls[1:]


async def test_parts_that_wait_are_prepared_in_one_call() -> None:
    lane = Room()
    later = part(lane, "a", "bb"), part(lane, "ccc")
    assert await prepared(*later, lane=lane) == [["a", "bb", "ccc"]]
    assert lane.items == [5, 1, 2, 3]
    assert [len(items.answers) for items in later] == [2, 1]


async def test_parts_with_another_key_are_prepared_by_themselves() -> None:
    lane = Room()
    later = part(lane, "a"), part(lane, "b", key="another"), part(lane, "c")
    assert await prepared(*later, lane=lane) == [["a", "c"], ["b"]]


@pytest.mark.parametrize(("texts", "weight"), [(["a"] * PART_ITEMS, 1), (["a"], PART_CHARACTERS)])
async def test_no_call_is_larger_than_the_largest_part(texts: list[str], weight: int) -> None:
    lane = Room()
    large = part(lane, *texts, weight=weight)
    later = part(lane, "b"), large, part(lane, "c")
    assert await prepared(*later, lane=lane) == [["b", "c"], texts]


async def test_keys_take_turns_however_many_parts_of_one_wait() -> None:
    lane = Room(100)
    flood = [part(lane, f"flood {n}", weight=PART_CHARACTERS) for n in range(4)]
    other = [part(lane, f"other {n}", weight=PART_CHARACTERS, tenant="two") for n in range(2)]
    calls = await prepared(*flood, *other, lane=lane)
    expected = ["other 0", "flood 0", "other 1", "flood 1", "flood 2", "flood 3"]
    assert calls == [[text] for text in expected]


async def test_a_call_has_the_parts_of_its_own_key_first() -> None:
    lane = Room(100)
    flood = part(lane, *["flood"] * (PART_ITEMS - 1))
    other = [part(lane, text, tenant="two") for text in ("a", "b")]
    assert (await prepared(flood, *other, lane=lane))[0] == ["a", "b"]


async def test_a_part_that_cannot_be_prepared_fails_alone() -> None:
    lane = Room()
    good, bad, other = part(lane, "a"), part(lane, "bad"), part(lane, "c")
    await prepared(good, bad, other, lane=lane)
    assert await good.admitted
    assert await other.admitted
    with pytest.raises(UnicodeError):
        await bad.admitted


async def test_a_part_of_which_an_item_is_missing_fails_alone() -> None:
    """The items of the others would be taken for its own."""
    room, thread = Room(), Thread(gate_open=True)
    parts = [part(room, "forgotten"), part(room, "three"), part(room, "ox")]
    preparation = JointPreparation(thread, untimed)
    preparation.add(parts)
    with pytest.raises(ValueError, match="0 items were prepared of 1"):
        await asyncio.wait_for(parts[0].admitted, PATIENCE_S)
    for each in parts[1:]:
        assert await asyncio.wait_for(each.admitted, PATIENCE_S)
    assert room.items == [5, 2]


async def test_a_part_whose_request_cannot_take_its_items_fails_alone() -> None:
    lane = Room()
    preparation = JointPreparation(Thread(gate_open=True), untimed)
    good, bad, other = part(lane, "a"), part(lane, "bb", told=refused), part(lane, "ccc")
    preparation.add([good, bad, other])
    await asyncio.wait([each.admitted for each in (good, bad, other)], timeout=PATIENCE_S)
    assert (good.admitted.result(), other.admitted.result()) == (True, True)
    with pytest.raises(LookupError):
        bad.admitted.result()
    later = part(lane, "dddd")
    preparation.add([later])
    assert await asyncio.wait_for(later.admitted, PATIENCE_S)
    assert lane.items == [1, 3, 4]


async def test_a_part_whose_caller_is_gone_is_not_prepared() -> None:
    lane = Room()
    gone, other = part(lane, "a"), part(lane, "c")
    gone.cancel()
    assert await prepared(gone, other, lane=lane) == [["c"]]


async def test_a_part_without_room_is_not_queued_and_one_with_room_behind_it_is() -> None:
    lane = Room(2)
    large, small = part(lane, "a", "b"), part(lane, "c")
    await prepared(large, small, lane=lane)
    assert (await large.admitted, await small.admitted) == (False, True)
    assert lane.items == [5, 1]


async def test_a_problem_is_an_answer_and_takes_no_room() -> None:
    lane = Room(1)
    empty = part(lane, "")
    await prepared(empty, lane=lane)
    assert await empty.admitted
    assert [type(answer) for answer in empty.answers] == [Problem]


async def test_a_part_that_is_prepared_already_is_queued_at_once() -> None:
    lane = Room()
    admitted = asyncio.get_running_loop().create_future()
    items = RequestItems(lane, [7], QueuedRequest(), admitted)  # type: ignore[arg-type]
    JointPreparation(Thread(), untimed).add([items])
    assert admitted.result()
    assert lane.items == [7]
