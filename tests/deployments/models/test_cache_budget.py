"""Which models leave the cache to keep its memory budget, and what does not fit at all."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deployments.models.errors import ModelUnavailable
from deployments.models.memory import GIB
from tests.deployments.models.storehouse import PATIENCE_S, SIZES_GB, Storehouse, names_in, used


async def test_the_least_recently_used_goes_when_the_budget_is_passed(store: Storehouse) -> None:
    cache = store.cache("one", "two", "three", budget_gb=2)
    for name in ("one", "two", "one", "three"):
        await used(cache, name)
    assert store.unloaded == ["two"]
    assert names_in(cache) == {"one", "three"}
    assert store.held == 2 * GIB


async def test_as_many_go_as_the_new_model_needs(store: Storehouse) -> None:
    cache = store.cache("one", "two", "three", "big", budget_gb=4)
    for name in ("one", "two", "three", "big"):
        await used(cache, name)
    assert store.unloaded == ["one", "two"]
    assert store.held == 4 * GIB


async def test_a_large_model_goes_before_small_ones_that_load_as_slowly(
    store: Storehouse,
) -> None:
    cache = store.cache("one", "big", "two", budget_gb=4)
    for name in ("one", "big", "two"):
        await used(cache, name)
    assert store.unloaded == ["big"]


async def test_without_a_budget_nothing_goes(store: Storehouse) -> None:
    cache = store.cache("one", "two", "three", "big")
    for name in ("one", "two", "three", "big"):
        await used(cache, name)
    assert len(cache.loaded) == 4


async def test_a_pinned_model_never_goes(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin", "one", "two", budget_gb=2)
    for name in ("one", "two"):
        await used(cache, name)
    assert store.unloaded == ["one"]
    assert names_in(cache) == {"pin", "two"}


async def test_a_model_in_use_never_goes(store: Storehouse) -> None:
    cache = store.cache("one", "two", "three", budget_gb=1)
    async with AsyncExitStack() as users:
        await users.enter_async_context(cache.use("one"))
        await users.enter_async_context(cache.use("two"))
        assert store.unloaded == []
    await used(cache, "three")
    assert sorted(store.unloaded) == ["one", "two"]


async def test_a_model_taken_up_while_another_unloads_stays(
    store: Storehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = store.cache("one", "two", "big", budget_gb=3)
    await used(cache, "one")
    await used(cache, "two")
    unload, leaving, may_leave = store.unload, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(model: str) -> None:
        loop.call_soon_threadsafe(leaving.set)
        assert may_leave.wait(PATIENCE_S)
        unload(model)

    monkeypatch.setattr(store, "unload", slow)
    loading = asyncio.create_task(used(cache, "big"))
    await asyncio.wait_for(leaving.wait(), PATIENCE_S)
    async with cache.use("two"):
        may_leave.set()
        assert await loading == "big"
        assert store.unloaded == ["one"]


async def test_a_failed_request_gives_its_model_back(store: Storehouse) -> None:
    cache = store.cache("one", "two", budget_gb=1)
    with pytest.raises(ZeroDivisionError):
        async with cache.use("one"):
            raise ZeroDivisionError
    await used(cache, "two")
    assert store.unloaded == ["one"]


async def test_a_model_that_fits_beside_nothing_that_stays_is_refused_and_let_go(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin", "big", "one", budget_gb=3)
    with pytest.raises(ModelUnavailable, match=r"leave 2\.00 GiB"):
        await used(cache, "big")
    assert store.held == SIZES_GB["pin"] * GIB
    assert await used(cache, "one") == "one"
    with pytest.raises(ModelUnavailable):
        await used(cache, "big")
    assert store.loads["big"] == 1


async def test_files_that_are_larger_than_the_budget_are_not_loaded_at_all(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files = tmp_path
    for name, size in (("one", 10), ("big", 2 * GIB)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as weights:
            weights.truncate(size)
    cache = store.cache("one", "big", budget_gb=1)
    assert await used(cache, "one") == "one"
    with pytest.raises(ModelUnavailable, match=r"it takes 2\.00 GiB"):
        await used(cache, "big")
    assert store.loads == {"one": 1}
    assert store.unloaded == []


async def test_what_loading_needs_is_made_ready_before_memory_is_measured(
    store: Storehouse,
) -> None:
    store.libraries = 5 * GIB
    cache = await store.pinned_cache("pin", "one")
    await used(cache, "one")
    assert [model.host_bytes for model in cache.loaded] == [GIB, GIB]


async def test_room_is_made_before_a_model_loads_when_its_files_tell_what_it_takes(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files = tmp_path
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as weights:
            weights.truncate(GIB)
    cache = store.cache("one", "two", budget_gb=1)
    await used(cache, "one")
    store.shut = {"two"}
    loading = asyncio.create_task(used(cache, "two"))
    await store.started("two")
    assert store.unloaded == ["one"]
    store.open("two")
    assert await loading == "two"


async def test_what_passed_the_budget_in_use_goes_when_its_request_ends(
    store: Storehouse,
) -> None:
    cache = store.cache("one", "two", budget_gb=1)
    async with cache.use("one"):
        await used(cache, "two")
        assert store.held == 2 * GIB
    async with asyncio.timeout(PATIENCE_S):
        while not store.unloaded:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert store.unloaded in (["one"], ["two"])
    assert store.held == GIB


@pytest.mark.parametrize(("half", "fits"), [(True, True), (False, False)])
async def test_files_count_half_where_the_model_computes_in_half_precision(
    half: bool, fits: bool, store: Storehouse, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    with (tmp_path / "one" / "model.safetensors").open("wb") as file:
        file.truncate(int(1.5 * GIB))
    store.files, store.half = tmp_path, half
    cache = store.cache("one", budget_gb=1, engine="torch")
    if fits:
        assert await used(cache, "one") == "one"
    else:
        with pytest.raises(ModelUnavailable, match=r"it takes 1\.50 GiB"):
            await used(cache, "one")
        assert not store.loads
