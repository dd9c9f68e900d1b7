"""How far a model is loaded, by the time that loading it took before, on a simulated clock."""

from __future__ import annotations

import asyncio

import pytest

from deployments.models.budgeted_load import MAX_PROGRESS
from tests.deployments.models.simulated import LOAD_S, Shelf, on_simulated_time


def shown(shelf: Shelf) -> dict[str, float | None]:
    return {each.model: each.progress for each in shelf.cache.statuses()}


@on_simulated_time
async def test_nothing_is_known_of_a_first_load(shelf: Shelf) -> None:
    loading = asyncio.create_task(shelf.ask("a"))
    await asyncio.sleep(LOAD_S / 2)
    assert shown(shelf) == {"a": None}
    await loading


@on_simulated_time
async def test_a_later_load_is_as_far_as_the_one_before_was_at_that_time(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    loading = asyncio.create_task(shelf.ask("a"))
    await asyncio.sleep(0.4 * LOAD_S)
    assert shown(shelf) == {"a": pytest.approx(0.4, abs=0.01)}
    await loading
    assert shown(shelf) == {"a": None}


@on_simulated_time
async def test_nothing_is_known_of_a_model_that_replaces_another_of_its_name(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    replaced = shelf.cache.specs.profile["a"].model_copy(update={"dtype": "bfloat16"})
    shelf.cache.specs.profile["a"] = replaced
    loading = asyncio.create_task(shelf.ask("a"))
    await asyncio.sleep(LOAD_S / 2)
    assert shown(shelf) == {"a": None, "b": None}  # nor how much memory it takes
    await loading


@on_simulated_time
async def test_a_load_is_not_over_before_it_is_over(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    shelf.load_s = 3 * LOAD_S
    loading = asyncio.create_task(shelf.ask("a"))
    await asyncio.sleep(2 * LOAD_S)
    assert shown(shelf) == {"a": MAX_PROGRESS}
    await loading


@on_simulated_time
async def test_a_model_that_waits_for_its_turn_shows_no_progress(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        waiting = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
        assert shown(shelf) == {"a": None, "b": None}
    await waiting
