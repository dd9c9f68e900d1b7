"""Orders to load models and to unload them, beside loads that wait for their turn."""

from __future__ import annotations

import asyncio

import pytest

from deployments.models.errors import ModelUnavailable, StillInUseError
from tests.deployments.models.simulated import LOAD_S, Shelf, on_simulated_time


@on_simulated_time
async def test_an_order_that_unloads_a_model_lets_a_load_begin_that_waits(shelf: Shelf) -> None:
    shelf.cache = shelf.cache_of(2.5)
    await shelf.known("a")
    await shelf.cache.load("b")
    await shelf.known("c")
    async with shelf.cache.use("c"):
        waiting = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
        await shelf.cache.unload("b", within_s=0)
        unloaded = shelf.loop.time()
        assert await waiting == pytest.approx(unloaded + LOAD_S)


@on_simulated_time
async def test_a_load_waits_for_a_model_that_an_order_unloads(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        order = asyncio.create_task(shelf.cache.unload("b", within_s=60))
        await asyncio.sleep(1)
        other = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(LOAD_S)
        assert shelf.log == []
        ended = shelf.loop.time()
    await order
    assert await other == pytest.approx(ended + LOAD_S)


@on_simulated_time
async def test_a_load_gets_its_turn_when_an_order_to_unload_has_failed(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        order = asyncio.create_task(shelf.cache.unload("b", within_s=2))
        other = asyncio.create_task(shelf.ask("a"))
        with pytest.raises(StillInUseError):
            await order
        await asyncio.sleep(1)
        assert shelf.cache.loaded[0].spec.name == "b"
        ended = shelf.loop.time()
    assert await other == pytest.approx(ended + LOAD_S)


@on_simulated_time
async def test_an_order_pins_a_model_that_is_about_to_make_room(shelf: Shelf) -> None:
    shelf.cache = shelf.cache_of(2.5)
    await shelf.known("b", "c", "a")  # b is gone
    async with shelf.cache.use("c"), shelf.cache.use("a"):
        other = asyncio.create_task(shelf.ask("b"))
        await asyncio.sleep(1)
        ordered = shelf.loop.time()
        for name in ("c", "a"):
            await shelf.cache.load(name)
        assert shelf.loop.time() == ordered
    with pytest.raises(ModelUnavailable, match=r"leave 0.50 GiB"):
        await other
    assert "-c" not in shelf.log
    assert "-a" not in shelf.log


@on_simulated_time
async def test_an_order_keeps_its_place_when_its_caller_has_left(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        for caller in (shelf.cache.load("a"), shelf.ask("a")):
            waiting = asyncio.create_task(caller)
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.sleep(1)
            assert shelf.cache.stages["a"] == "waiting"
    await asyncio.sleep(2 * LOAD_S)
    assert shelf.log == ["-b", "+a"]
    assert shelf.cache.is_pinned("a")


@on_simulated_time
async def test_an_order_to_unload_ends_one_to_load_before_and_after_its_load_has_begun(
    shelf: Shelf,
) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        order = asyncio.create_task(shelf.cache.load("a"))
        await asyncio.sleep(1)
        await shelf.cache.unload("a", within_s=0)
        with pytest.raises(ModelUnavailable, match="an order to unload it came"):
            await order
    assert shelf.log == []
    order = asyncio.create_task(shelf.cache.load("a"))
    await asyncio.sleep(LOAD_S / 2)
    order.cancel()
    await shelf.cache.unload("a", within_s=0)
    await asyncio.sleep(2 * LOAD_S)
    assert shelf.log == ["-b", "+a", "-a"]
    assert not shelf.cache.is_pinned("a")
