"""What the last load of a model says of the next one, on a simulated clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deployments.models.budgeted_load import MAX_PROGRESS, REMEASURE_S
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import GIB
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


@on_simulated_time
async def test_others_make_room_once_for_a_model_that_is_too_large_once_it_is_loaded(
    shelf: Shelf,
) -> None:
    shelf.sizes_gb = {"a": 2}
    with TemporaryDirectory() as folder:
        with (Path(folder) / "model.safetensors").open("wb") as weights:
            weights.truncate(GIB)
        shelf.folders["a"] = Path(folder)
        for pause_s in (0.0, REMEASURE_S / 2):
            await shelf.known("b")
            await asyncio.sleep(pause_s)
            with pytest.raises(ModelUnavailable, match=r"it takes 2\.00 GiB"):
                await shelf.ask("a")
            assert shelf.log == ([] if pause_s else ["-b", "+a", "-a"])
        await asyncio.sleep(REMEASURE_S)
        with pytest.raises(ModelUnavailable):
            await shelf.ask("a")
        assert shelf.log == ["-b", "+a", "-a"]
