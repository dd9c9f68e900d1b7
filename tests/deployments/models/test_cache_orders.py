"""Orders to load models into the cache and to unload them, beside requests and loads."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from bench.instant_loader import InstantLoader
from configs.profile import ModelSpec
from deployments.models.cache import ModelCache
from deployments.models.errors import ModelUnavailable, StillInUseError
from deployments.models.memory import GIB
from tests.deployments.models.storehouse import PATIENCE_S, Storehouse, names_in, stage, used


async def test_an_order_tries_at_once_what_has_just_failed(store: Storehouse) -> None:
    store.broken = {"one"}
    cache = store.cache("one")
    with pytest.raises(ModelUnavailable):
        await used(cache, "one")
    store.broken = set()
    await cache.load("one")
    assert await used(cache, "one") == "one"


async def test_what_was_loaded_by_order_stays_until_an_order_unloads_it(
    store: Storehouse,
) -> None:
    cache = store.cache("one", "two", "three", budget_gb=2)
    await cache.load("one")
    for name in ("two", "three"):
        await used(cache, name)
    assert store.unloaded == ["two"]
    assert await cache.unload("one", PATIENCE_S) == GIB
    assert names_in(cache) == {"three"}


async def test_a_pinned_model_may_be_unloaded_by_order_and_comes_back_when_asked_for(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin", "one", budget_gb=1)
    assert await cache.unload("pin", PATIENCE_S) == GIB
    assert await used(cache, "pin") == "pin"
    await used(cache, "one")
    assert names_in(cache) == {"one"}


async def test_what_was_unloaded_by_order_is_not_pinned_again(store: Storehouse) -> None:
    cache = store.cache("pin", "one")
    await cache.load_pinned(["pin"])
    assert names_in(cache) == set()
    assert not cache.is_pinned("pin")


async def test_unloading_waits_for_the_requests_that_run(store: Storehouse) -> None:
    cache = store.cache("one")
    async with cache.use("one") as model:
        unloading = asyncio.create_task(cache.unload("one", PATIENCE_S))
        await stage(cache, "leaving")
        assert not unloading.done()
        assert store.unloaded == []
        assert model == "one"
    assert await unloading == GIB
    assert names_in(cache) == set()


async def test_a_request_that_comes_while_a_model_leaves_loads_it_again(
    store: Storehouse,
) -> None:
    cache = store.cache("one")
    async with cache.use("one"):
        unloading = asyncio.create_task(cache.unload("one", PATIENCE_S))
        await stage(cache, "leaving")
        asking = asyncio.create_task(used(cache, "one"))
    assert await unloading == GIB
    assert await asking == "one"
    assert store.loads == {"one": 2}


async def test_a_model_that_stays_in_use_is_not_unloaded_and_serves_on(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin")
    async with cache.use("pin"):
        with pytest.raises(StillInUseError):
            await cache.unload("pin", 0)
        assert await used(cache, "pin") == "pin"
    assert cache.is_pinned("pin")
    assert store.loads == {"pin": 1}


async def test_unloading_comes_after_the_load_that_is_on_its_way(store: Storehouse) -> None:
    store.shut = {"one"}
    cache = store.cache("one")
    loading = asyncio.create_task(cache.load("one"))
    await store.started("one")
    unloading = asyncio.create_task(cache.unload("one", PATIENCE_S))
    store.open("one")
    assert await unloading == GIB
    with pytest.raises(ModelUnavailable, match="an order to unload it came"):
        await loading
    assert store.held == 0
    assert store.unloaded == ["one"]


async def test_unloading_what_is_not_loaded_is_done_at_once(store: Storehouse) -> None:
    assert await store.cache("one").unload("one", 0) == 0


async def test_two_orders_to_unload_are_one(store: Storehouse) -> None:
    cache = store.cache("one")
    await cache.load("one")
    both = [cache.unload("one", PATIENCE_S) for _ in range(2)]
    assert await asyncio.gather(*both) == [GIB, GIB]
    assert store.unloaded == ["one"]


async def test_nothing_refers_to_a_model_that_was_unloaded(store: Storehouse) -> None:
    class Model:
        """Can be pointed at weakly, and is in a cycle, as torch's modules are."""

        def __init__(self, spec: ModelSpec) -> None:
            self.spec, self.itself = spec, self

    cache = ModelCache(store.specs("one"), InstantLoader(Model), store.record)
    async with cache.use("one") as model:
        seen = weakref.ref(model)
        del model
    await cache.unload("one", PATIENCE_S)
    assert seen() is None
