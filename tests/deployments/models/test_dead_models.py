"""Models whose engines died are loaded again: for requests, without any, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from deployments.models.backoff import FIRST_S
from deployments.models.cache import ModelCache
from deployments.models.crashes import MAX_ATTEMPTS, ModelLost
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import GIB
from tests.deployments.models.storehouse import PATIENCE_S, Storehouse, names_in, used


async def settled(cache: ModelCache[str]) -> None:
    """Let chores that nobody waits for end."""
    async with asyncio.timeout(PATIENCE_S):
        while cache._background:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_dead_model_is_loaded_again_for_the_next_request(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin", "one", budget_gb=5)
    await used(cache, "one")
    store.dead = {"one"}
    asking = [asyncio.create_task(used(cache, "one")) for _ in range(5)]
    assert await asyncio.gather(*asking) == ["one"] * 5
    assert store.loads == {"pin": 1, "one": 2}
    assert store.unloaded == ["one"]
    assert store.held == 2 * GIB


async def test_a_dead_model_ends_before_it_is_loaded_again(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin")
    await store.started("pin")
    store.dead = store.shut = {"pin"}
    asking = asyncio.create_task(used(cache, "pin"))
    await store.started("pin")
    assert store.unloaded == ["pin"]
    assert names_in(cache) == set()
    store.open("pin")
    await asking


async def test_a_request_on_a_model_that_dies_holds_up_nobody(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin")
    async with cache.use("pin"):
        store.dead = {"pin"}
        assert await used(cache, "pin") == "pin"
    assert store.loads == {"pin": 2}
    assert [model.users for model in cache.loaded] == [0]


async def test_what_is_kept_is_revived_without_a_request_and_the_rest_by_one(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin", "one")
    await used(cache, "one")
    store.dead = {"pin", "one"}
    cache.reload_dead()
    await settled(cache)
    assert names_in(cache) == {"pin"}
    assert await used(cache, "one") == "one"
    cache.reload_dead()
    assert store.loads == {"pin": 2, "one": 2}


async def test_a_model_that_dies_at_once_is_not_loaded_again_and_again(store: Storehouse) -> None:
    cache = store.cache("one")
    await used(cache, "one")
    store.dead = store.doomed = {"one"}
    for _ in range(5):
        with pytest.raises(ModelUnavailable, match="its engine stopped"):
            await used(cache, "one")
    assert store.loads == {"one": 5}
    with pytest.raises(ModelUnavailable):
        await cache.load("one")
    assert store.loads == {"one": 6}
    store.dead, store.doomed = set(), set()
    store.now += 16 * FIRST_S
    assert await used(cache, "one") == "one"


async def test_a_request_waits_for_a_model_that_died_twice_although_it_works(
    store: Storehouse,
) -> None:
    """Its stream has had a part of its answer. The second death delays the load by a moment."""
    cache = await store.pinned_cache("pin")
    for _ in range(3):
        store.dead = {"pin"}
        assert await used(cache, "pin") == "pin"
    assert store.loads == {"pin": 4}
    assert store.now == pytest.approx(FIRST_S + 2 * FIRST_S)


async def test_a_request_waits_for_a_second_load_if_its_model_died_during_the_first(
    store: Storehouse,
) -> None:
    cache = store.cache("one")
    await used(cache, "one")
    store.dead, store.doomed = {"one"}, {"one"}
    store.cured_by_rest = {"one"}
    assert await used(cache, "one") == "one"
    assert store.loads == {"one": 3}


async def test_a_timer_that_is_early_refuses_nobody(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin")
    store.early_s = 0.25
    for _ in range(2):
        store.dead = {"pin"}
        assert await used(cache, "pin") == "pin"
    assert store.loads == {"pin": 3}


async def test_what_is_kept_and_dies_too_often_is_lost_and_the_rest_is_not(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin", "one")
    store.doomed = {"pin", "one"}
    for _ in range(MAX_ATTEMPTS - 1):
        await ignored(used(cache, "one"))
        store.dead = {"pin", "one"}
        cache.reload_dead()
        await settled(cache)
        store.now += 100
    with pytest.raises(ModelLost, match="pin"):
        cache.reload_dead()


async def test_a_model_that_was_unloaded_by_order_after_its_death_stays_so(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin")
    store.dead = {"pin"}
    store.broken = {"pin"}
    cache.reload_dead()
    await settled(cache)
    await cache.unload("pin", within_s=PATIENCE_S)
    store.broken, store.now = set(), 100.0
    cache.reload_dead()
    await settled(cache)
    assert names_in(cache) == set()


async def test_a_model_that_dies_while_an_order_unloads_it_is_not_revived(
    store: Storehouse,
) -> None:
    cache = await store.pinned_cache("pin")
    async with cache.use("pin"):
        leaving = asyncio.create_task(cache.unload("pin", within_s=PATIENCE_S))
        await asyncio.sleep(0)
        store.dead = {"pin"}
        cache.reload_dead()
    store.dead = set()
    await leaving
    cache.reload_dead()
    await settled(cache)
    assert names_in(cache) == set()
    assert store.loads == {"pin": 1}


async def ignored(work: Coroutine[Any, Any, object]) -> None:
    with suppress(ModelUnavailable):
        await work
