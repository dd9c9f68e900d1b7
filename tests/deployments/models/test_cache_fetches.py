"""Files of models are fetched once for all who ask, and hold up no other model meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from configs.profile import ModelSpec
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import GIB
from tests.deployments.models.storehouse import PATIENCE_S, Storehouse, stage, used


async def test_files_on_their_way_hold_up_no_request_load_or_unload_of_another_model(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files, store.far = tmp_path, {"one", "two"}
    cache = await store.pinned_cache("pin", "one", "two", "three", "big")
    waiting = [asyncio.create_task(used(cache, name)) for name in ("one", "two")]
    await stage(cache, "fetching")
    async with asyncio.timeout(PATIENCE_S / 2):  # the files do not come in that time
        assert await used(cache, "pin") == "pin"
        assert await used(cache, "three") == "three"
        await cache.load("big")
        assert await cache.unload("pin", PATIENCE_S) == GIB
        assert await cache.unload("three", PATIENCE_S) == GIB
        assert await used(cache, "pin") == "pin"
    assert not any(task.done() for task in waiting)
    store.deliver("two")
    assert await waiting[1] == "two"
    store.deliver("one")
    assert await waiting[0] == "one"


async def test_files_are_fetched_once_for_all_who_ask(store: Storehouse, tmp_path: Path) -> None:
    store.files, store.far = tmp_path, {"one"}
    cache = store.cache("one")
    waiting = [asyncio.create_task(used(cache, "one")) for _ in range(5)]
    waiting.append(asyncio.create_task(used(cache, "one")))
    await stage(cache, "fetching")
    waiting[0].cancel()
    store.deliver("one")
    assert await asyncio.gather(*waiting[1:]) == ["one"] * 5
    assert store.fetches == store.loads == {"one": 1}


async def test_a_model_that_is_unloaded_while_its_files_are_fetched_is_not_loaded_by_them(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files, store.far = tmp_path, {"one"}
    cache = store.cache("one")
    ordered = asyncio.create_task(cache.load("one"))
    asking = asyncio.create_task(used(cache, "one"))
    await stage(cache, "fetching")
    async with asyncio.timeout(PATIENCE_S / 2):  # the files do not come in that time
        assert await cache.unload("one", PATIENCE_S) == 0
        for waiting in (ordered, asking):
            with pytest.raises(ModelUnavailable, match="an order to unload it came") as caught:
                await waiting
            assert caught.value.problem.kind == "unavailable"
    assert not cache.statuses()
    again = asyncio.create_task(used(cache, "one"))
    await stage(cache, "fetching")
    store.deliver("one")
    assert await again == "one"
    assert store.fetches == store.loads == {"one": 1}
    assert not cache.is_pinned("one")


async def test_a_fetch_that_fails_is_told_to_all_who_wait_and_may_be_tried_again(
    store: Storehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.files = tmp_path
    fetch = store.fetch

    def lost(spec: ModelSpec) -> Path:
        fetch(spec)
        raise OSError("https://secret/place does not answer")

    monkeypatch.setattr(store, "fetch", lost)
    cache = store.cache("one")
    waiting = [asyncio.create_task(used(cache, "one")) for _ in range(3)]
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(failure) for failure in failures} == {ModelUnavailable}
    assert "secret" not in str(failures)
    assert store.fetches == {"one": 1}
    assert not store.loads
