"""Models are loaded once for all who ask, failed loads are told, and what happens is recorded."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from bench.instant_loader import InstantLoader
from configs.profile import ModelSpec
from deployments.models.backoff import FIRST_S
from deployments.models.cache import ModelCache
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import GIB
from tests.deployments.models.storehouse import Storehouse, names_in, used


async def loading_one(store: Storehouse) -> tuple[ModelCache[str], asyncio.Task[str]]:
    """A cache with ``pin`` loaded, and a request for ``one``, which loads until it is opened."""
    store.shut = {"one"}
    cache = await store.pinned_cache("pin", "one")
    asking = asyncio.create_task(used(cache, "one"))
    await store.started("one")
    return cache, asking


async def test_what_is_pinned_is_there_before_the_first_request(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin", "one")
    assert names_in(cache) == {"pin"}
    assert await used(cache, "pin") == "pin"
    assert store.loads == {"pin": 1}


async def test_a_pinned_model_that_cannot_be_loaded_fails_the_replica(store: Storehouse) -> None:
    store.broken = {"pin"}
    with pytest.raises(OSError, match="no such file"):
        await store.cache("pin").load_pinned()


async def test_the_others_load_once_for_all_who_ask(store: Storehouse) -> None:
    store.shut = {"one"}
    cache = store.cache("one")
    asking = [asyncio.create_task(used(cache, "one")) for _ in range(20)]
    await store.started("one")
    store.open("one")
    assert await asyncio.gather(*asking) == ["one"] * 20
    await used(cache, "one")
    assert store.loads == {"one": 1}


async def test_a_load_holds_up_nobody_who_uses_another_model(store: Storehouse) -> None:
    cache, asking = await loading_one(store)
    assert await used(cache, "pin") == "pin"
    assert not asking.done()
    store.open("one")
    assert await asking == "one"


async def test_a_failed_load_is_told_without_internals_and_may_be_tried_again(
    store: Storehouse,
) -> None:
    store.broken = {"one"}
    cache = store.cache("one")
    with pytest.raises(ModelUnavailable) as caught:
        await used(cache, "one")
    assert caught.value.problem.kind == "unavailable"
    assert "one" in caught.value.problem.message
    assert "secret" not in caught.value.problem.message
    store.broken = set()
    store.now = FIRST_S
    assert await used(cache, "one") == "one"


async def test_one_failed_load_answers_all_who_waited_for_it(store: Storehouse) -> None:
    store.broken = store.shut = {"one"}
    cache = store.cache("one")
    asking = [asyncio.create_task(used(cache, "one")) for _ in range(5)]
    await store.started("one")
    store.open("one")
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(failure) for failure in failures} == {ModelUnavailable}
    assert store.loads == {"one": 1}


async def test_a_model_whose_asker_left_while_it_loaded_is_kept(store: Storehouse) -> None:
    store.shut = {"one"}
    cache = store.cache("one")
    asking = asyncio.create_task(used(cache, "one"))
    await store.started("one")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    store.open("one")
    assert await used(cache, "one") == "one"
    assert store.loads == {"one": 1}


async def test_a_model_that_just_failed_is_not_loaded_again_by_each_request(
    store: Storehouse,
) -> None:
    store.broken = {"one"}
    cache = await store.pinned_cache("pin", "one")
    for _ in range(100):
        with pytest.raises(ModelUnavailable, match="files are missing"):
            await used(cache, "one")
    assert store.loads["one"] == 1
    assert await used(cache, "pin") == "pin"


async def test_it_is_left_alone_for_longer_each_time_it_fails(store: Storehouse) -> None:
    store.broken = {"one"}
    cache = store.cache("one")
    for loads, later in enumerate((0, FIRST_S, FIRST_S), 1):
        store.now += later
        with pytest.raises(ModelUnavailable):
            await used(cache, "one")
        assert store.loads["one"] == min(loads, 2)


async def test_statuses_tell_what_is_there_and_what_is_coming(store: Storehouse) -> None:
    cache, loading = await loading_one(store)
    held = {status.model: status for status in cache.statuses()}
    assert (held["pin"].stage, held["pin"].host_bytes) == ("warm", GIB)
    assert (held["one"].stage, held["one"].host_bytes) == ("loading", 0)
    store.open("one")
    await loading
    assert {status.stage for status in cache.statuses()} == {"warm"}


async def test_no_part_of_a_failed_attempt_is_held_on_to(store: Storehouse) -> None:
    class Half:
        """What a load had made when it failed."""

    made: list[weakref.ref[Half]] = []

    def fail(spec: ModelSpec) -> str:
        half = Half()
        made.append(weakref.ref(half))
        raise MemoryError(spec.name)

    cache = ModelCache(store.specs("one"), InstantLoader(fail), store.record)
    with pytest.raises(ModelUnavailable, match="not enough memory") as caught:
        await used(cache, "one")
    assert made[0]() is None, caught.value


async def test_hits_misses_loads_and_unloads_are_recorded(store: Storehouse) -> None:
    cache = await store.pinned_cache("pin", "one", "two", budget_gb=2)
    await used(cache, "pin")
    await used(cache, "one")
    await used(cache, "one")
    await used(cache, "two")
    store.broken = {"one"}
    with pytest.raises(ModelUnavailable):
        await used(cache, "one")
    assert store.events == {
        ("load", "pin"): 1,
        ("hit", "pin"): 1,
        ("miss", "one"): 2,
        ("load", "one"): 1,
        ("hit", "one"): 1,
        ("miss", "two"): 1,
        ("load", "two"): 1,
        ("unload", "two"): 1,
        ("unload", "one"): 1,
        ("load_failure", "one"): 1,
    }
