"""Models that do not fit in memory together are served in turns, on a simulated clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deployments.models import turns
from deployments.models.errors import BudgetExceeded, ModelUnavailable
from deployments.models.loaded_model import FRESH_S
from deployments.models.memory import GIB
from deployments.models.turns import IDLE_PART, MAX_TURN_S, MAX_WAIT_S
from tests.deployments.models.simulated import LOAD_S, Shelf, on_simulated_time


@on_simulated_time
async def test_a_model_that_nobody_uses_makes_room_at_once(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    began = shelf.loop.time()
    assert await shelf.ask("a") == pytest.approx(began + LOAD_S)
    assert shelf.log == ["-b", "+a"]


@on_simulated_time
async def test_clients_that_ask_in_turn_do_not_swap_their_models_for_each_request(
    shelf: Shelf,
) -> None:
    await shelf.known("a", "b")
    async with shelf.clients("a"), shelf.clients("b"):
        await asyncio.sleep(20 * LOAD_S)
    loads = sum(entry.startswith("+") for entry in shelf.log)
    assert 8 <= loads <= 10  # a turn lasts as long as a load: one every 20 s
    assert shelf.held == 1


@on_simulated_time
async def test_the_budget_is_kept_while_both_models_are_in_use_all_the_time(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.clients("a", 8), shelf.clients("b", 8):
        for _ in range(200):
            await asyncio.sleep(1)
            assert shelf.held <= 1


@on_simulated_time
async def test_a_model_in_its_turn_waits_a_moment_for_its_next_request(shelf: Shelf) -> None:
    await shelf.known("a", "b", "a")
    await shelf.ask("b", 0.0)  # its turn has begun
    used = shelf.loop.time()
    assert await shelf.ask("a") == pytest.approx(used + IDLE_PART * LOAD_S + LOAD_S)


@on_simulated_time
async def test_further_requests_wait_when_the_turn_is_over(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):  # which was loaded long ago
        other = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
        late = asyncio.create_task(shelf.ask("b"))
        await asyncio.sleep(1)
        ended = shelf.loop.time()
    assert await other == pytest.approx(ended + LOAD_S)
    assert await late >= ended + 2 * LOAD_S
    assert shelf.log == ["-b", "+a", "-a", "+b"]


@on_simulated_time
async def test_many_requests_end_a_turn_before_its_time(shelf: Shelf) -> None:
    await shelf.known("a", "b", "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "MAX_TURN_REQUESTS", 20)
        await shelf.ask("b", 0.0)
        async with shelf.clients("b", pause_s=0.0, seconds=0.1):
            asked = shelf.loop.time()
            waited = await shelf.ask("a", 0.0) - asked - LOAD_S
    assert waited == pytest.approx(2, abs=0.2)  # a turn by time lasts 10 s


@on_simulated_time
async def test_nobody_waits_for_ever_behind_a_request_that_does_not_end(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        asked = shelf.loop.time()
        assert await shelf.ask("a") == pytest.approx(asked + MAX_WAIT_S + LOAD_S)
        assert shelf.held == 2  # beyond the budget
        await shelf.ask("b")  # and the one that stays is open again


@on_simulated_time
async def test_only_one_load_goes_beyond_the_budget(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        async with shelf.cache.use("a"):
            asked = shelf.loop.time()
            for _ in range(2):  # the next request tries again
                with pytest.raises(BudgetExceeded):
                    await shelf.ask("c")
            assert shelf.loop.time() == pytest.approx(asked + 2 * MAX_WAIT_S)
            await shelf.ask("b")  # which is open again
        await shelf.ask("c")
    assert shelf.log == ["+a", "-a", "+c"]


@on_simulated_time
async def test_those_that_wait_get_their_turns_in_the_order_in_which_they_asked(
    shelf: Shelf,
) -> None:
    await shelf.known("b", "c", "d", "a")
    async with shelf.clients("a", 4):
        asked = shelf.loop.time()
        waiting = []
        for name in "bcd":
            waiting.append(asyncio.create_task(shelf.ask(name)))
            await asyncio.sleep(0.01)
        began = await asyncio.gather(*waiting)
    loaded = [entry[1:] for entry in shelf.log if entry.startswith("+")]
    assert loaded[:3] == ["b", "c", "d"]
    assert began == sorted(began)
    assert began[-1] - asked <= 3 * (LOAD_S + MAX_TURN_S)


@on_simulated_time
async def test_a_model_that_fits_beside_those_in_use_waits_for_no_turn(shelf: Shelf) -> None:
    shelf.cache = shelf.cache_of(3.5)
    await shelf.known("a", "b", "c", "d")
    async with shelf.clients("b", 4), shelf.clients("c", 4):
        asked = shelf.loop.time()
        assert await shelf.ask("a") - asked == pytest.approx(LOAD_S)
        assert shelf.log == ["-d", "+a"]


@on_simulated_time
async def test_a_load_that_fails_leaves_the_others_open(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    shelf.broken = {"a"}
    async with shelf.clients("b"):
        with pytest.raises(ModelUnavailable):
            await shelf.ask("a")
        await shelf.ask("b")


@on_simulated_time
async def test_a_load_that_is_called_off_leaves_the_others_open(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        waiting = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
        await shelf.cache.unload("a", within_s=0)
        with pytest.raises(ModelUnavailable):
            await waiting
        await shelf.ask("b")
    assert shelf.log == []


@on_simulated_time
async def test_a_model_that_never_fits_is_refused_before_any_makes_room(shelf: Shelf) -> None:
    await shelf.known("b")
    with TemporaryDirectory() as folder:
        with (Path(folder) / "model.safetensors").open("wb") as weights:
            weights.truncate(50 * GIB)
        shelf.folders["a"] = Path(folder)
        async with shelf.cache.use("b"):
            asked = shelf.loop.time()
            with pytest.raises(ModelUnavailable, match=r"it takes 50.00 GiB"):
                await shelf.ask("a")
            assert shelf.loop.time() == asked


@on_simulated_time
async def test_a_load_that_nobody_waits_for_loses_its_turn(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        waiting = [asyncio.create_task(shelf.ask("a")) for _ in range(2)]
        await asyncio.sleep(1)
        late = asyncio.create_task(shelf.ask("b"))
        waiting[0].cancel()
        await asyncio.sleep(1)
        assert shelf.cache.stages["a"] == "waiting"  # for one of them still
        waiting[1].cancel()
        left = shelf.loop.time()
        assert await late == left
    assert list(shelf.cache.stages) == ["b"]
    assert shelf.log == []


@on_simulated_time
async def test_a_request_that_comes_as_a_load_is_called_off_has_the_model_loaded(
    shelf: Shelf,
) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        first = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
        first.cancel()  # ends before the second one waits, and the load after that
        second = asyncio.create_task(shelf.ask("a"))
        await asyncio.sleep(1)
    await second
    assert shelf.log == ["-b", "+a"]


@on_simulated_time
async def test_a_model_beyond_the_budget_has_its_turn_too(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        for _ in range(4):
            await shelf.ask("a")
            await asyncio.sleep(IDLE_PART * LOAD_S / 2)
        assert shelf.log == ["+a"]
        await asyncio.sleep(IDLE_PART * LOAD_S)
        assert shelf.log == ["+a", "-a"]


@on_simulated_time
async def test_the_budget_is_kept_again_as_soon_as_a_model_may_go(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        await shelf.ask("a")  # beyond the budget
        await asyncio.sleep(IDLE_PART * LOAD_S / 2)
    await asyncio.sleep(0.01)
    assert shelf.log == ["+a", "-b"]


@on_simulated_time
async def test_the_memory_of_processes_is_not_measured_for_each_request(shelf: Shelf) -> None:
    measured: list[int] = []

    def process_bytes(process: int) -> int:
        measured.append(process)
        return 0

    shelf.cache = shelf.cache_of(2.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "process_id", len)
        patch.setattr("deployments.models.loaded_model.process_bytes", process_bytes)
        await shelf.known("a", "b")
        measured.clear()
        for _ in range(100):
            await shelf.ask("a", 0.05 * FRESH_S)
        assert 4 <= len(measured) <= 12  # both models in each of five seconds


@on_simulated_time
async def test_the_parts_of_a_request_neither_wait_nor_count_as_requests(shelf: Shelf) -> None:
    await shelf.known("a", "b")
    async with shelf.cache.use("b"):
        other = asyncio.create_task(shelf.ask("a"))  # further requests for "b" wait from now on
        await asyncio.sleep(1)
        unloading = asyncio.create_task(shelf.cache.unload("b", within_s=60))
        await asyncio.sleep(1)
        (loaded,) = shelf.cache.loaded
        requests = loaded.requests
        for _ in range(3):
            began = shelf.loop.time()
            async with shelf.cache.use("b", admitted=True):
                assert shelf.loop.time() == began
        assert (loaded.users, loaded.requests) == (1, requests)
    await unloading
    await other
    assert shelf.log == ["-b", "+a"]
