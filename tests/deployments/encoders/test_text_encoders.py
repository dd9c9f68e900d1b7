"""The walk of a text through a family of encoders, with a family that needs no model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deployments.batching.joint_preparation import RequestItems
from deployments.batching.scheduler import QueuedRequest
from deployments.batching.tuning import PART_CHARACTERS
from deployments.seam.problems import Problem
from tests.deployments.conftest import Configured
from tests.deployments.encoders.doubling_encoders import Doubled, Held
from tests.deployments.families import started
from tests.deployments.forwards import PATIENCE_S

# Serve keeps one queue a class, on the event loop that first used it.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("in_replica")]


LONG = "l" * PART_CHARACTERS


@pytest_asyncio.fixture(loop_scope="session")
async def family(configured: Configured, classifier_folder: Path) -> Doubled:
    return await started(Doubled(configured(classifier_folder, {"batch_size": 4})))


async def test_answers_keep_the_order_of_texts_of_any_length(family: Doubled) -> None:
    family.forwards.end(100)
    texts = ["ccc", "a", "bbbbb", "", "dd"]
    assert await family.ask(*texts) == [6, 2, 10, 0, 4]


async def test_texts_of_several_requests_share_a_forward(family: Doubled) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    others = [asyncio.create_task(family.ask(text)) for text in ("bb", "ccc", "dddd")]
    encoder = family._models.loaded[0].model
    async with asyncio.timeout(PATIENCE_S):
        while encoder.lane.depth < 3:
            await asyncio.wait(others, timeout=0.001)
    family.forwards.end(2)
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert family.forwards.batches == [[1], [2, 3, 4]]


async def test_no_forward_is_larger_than_the_batch_size_of_the_settings(family: Doubled) -> None:
    family.forwards.end(100)
    await family.ask(*("x" * length for length in range(10)))
    assert sum(map(len, family.forwards.batches)) == 10
    assert max(map(len, family.forwards.batches)) == 4


async def test_a_request_can_ask_for_smaller_forwards(family: Doubled) -> None:
    family.reconfigure({"max_forward_ms": 60_000})
    family.forwards.end(100)
    answers = await family.ask(*("x" * length for length in range(5)), batch_size=2)
    assert answers == [0, 2, 4, 6, 8]
    assert [len(batch) for batch in family.forwards.batches] == [2, 2, 1]


async def test_a_single_text_is_read_before_the_rest_of_a_heavy_list(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Held(configured(classifier_folder)))
    family.forwards.end(100)
    heavy = asyncio.create_task(family.ask(*[LONG] * 5))
    await family.reads.started()
    single = asyncio.create_task(family.ask("a"))
    async with asyncio.timeout(PATIENCE_S):
        while not family.batcher._preparation._waiting:
            await asyncio.wait([single], timeout=0.001)
    family.reads.end(2)
    assert await single == [2]
    assert family.reads.batches[:2] == [[len(LONG)], [1]]
    family.reads.end(4)
    await heavy
    assert family.reads.batches[2:] == [[len(LONG)]] * 4


async def test_a_text_that_is_too_long_or_fails_does_so_alone(family: Doubled) -> None:
    family.forwards.end(100)
    good, long, bad, other = await family.ask("aa", "l" * 21, "b" * 13, "ccc")
    assert (good, other) == (4, 6)
    assert isinstance(long, Problem)
    assert isinstance(bad, Problem)
    assert (long.kind, bad.kind) == ("context_length", "internal")


async def test_a_request_without_a_good_text_needs_no_forward(family: Doubled) -> None:
    (answer,) = await family.ask("l" * 21)
    assert isinstance(answer, Problem)
    assert family.forwards.batches == []


async def test_the_texts_of_a_request_that_was_cancelled_leave_the_queue(family: Doubled) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    gone = asyncio.create_task(family.ask("bb", "ccc"))
    lane = family._models.loaded[0].model.lane
    async with asyncio.timeout(PATIENCE_S):
        while lane.depth < 2:
            await asyncio.wait([gone], timeout=0.001)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    family.forwards.end(100)
    await first
    assert await family.ask("dddd") == [8]
    assert family.forwards.batches == [[1], [4]]


async def test_texts_whose_request_is_cancelled_while_they_are_admitted_never_queue(
    family: Doubled,
) -> None:
    first = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    entering = asyncio.Event()
    admit = RequestItems.admit

    def entered(items: RequestItems, made: Sequence[Any]) -> None:
        admit(items, made)
        entering.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RequestItems, "admit", entered)
        gone = asyncio.create_task(family.ask("bb", "ccc"))
        async with asyncio.timeout(PATIENCE_S):
            await entering.wait()  # queued, but the request does not know yet
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert family._models.loaded[0].model.lane.depth == 0
    family.forwards.end(100)
    await first
    assert await family.ask("dddd") == [8]
    assert family.forwards.batches == [[1], [4]]


async def test_items_of_a_request_that_is_gone_are_not_admitted(family: Doubled) -> None:
    lane = family._models.loaded[0].model.lane
    admitted = asyncio.get_running_loop().create_future()
    items = RequestItems(lane, ["a"], QueuedRequest(), admitted)
    items.cancel()
    items.admit(["a"])
    assert (lane.depth, items.answers) == (0, [])


async def test_texts_that_come_while_others_are_read_are_read_together(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Held(configured(classifier_folder)))
    family.forwards.end(100)
    first = asyncio.create_task(family.ask("a"))
    await family.reads.started()
    others = [asyncio.create_task(family.ask(*texts)) for texts in (["bb", "c"], ["ddd"])]
    async with asyncio.timeout(PATIENCE_S):
        while len(family.batcher._preparation._waiting) < 2:
            await asyncio.wait(others, timeout=0.001)
    family.reads.end(2)
    assert await asyncio.gather(first, *others) == [[2], [4, 2], [6]]
    assert family.reads.batches == [[1], [2, 1, 3]]


async def test_a_request_whose_texts_cannot_be_read_fails_alone(
    configured: Configured, classifier_folder: Path
) -> None:
    class Choosy(Held):
        def _read(self, texts: Sequence[str], **more: Any) -> dict[str, list[list[int]]]:
            read = super()._read(texts, **more)
            if "bad" in texts:
                raise UnicodeError("bad")
            return read

    family = await started(Choosy(configured(classifier_folder)))
    family.forwards.end(100)
    family.reads.end(100)
    asked = [asyncio.create_task(family.ask(text)) for text in ("a", "bad", "cc")]
    first, bad, last = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, last) == ([2], [4])
    assert isinstance(bad, UnicodeError)


async def test_a_forward_that_hangs_fails_the_health_check(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Doubled(configured(classifier_folder, {"stall_timeout_s": 1e-9})))
    await family.check_health()
    asking = asyncio.create_task(family.ask("a"))
    await family.forwards.started()
    with pytest.raises(RuntimeError, match="forward has been running"):
        await family.check_health()
    family.forwards.end()
    await asking
    await family.check_health()


async def test_the_profile_can_bound_the_length_of_texts(
    configured: Configured, classifier_folder: Path
) -> None:
    family = await started(Doubled(configured(classifier_folder, max_tokens=3)))
    family.forwards.end(100)
    short, long = await family.ask("aaa", "aaaa")
    assert short == 6
    assert isinstance(long, Problem)
