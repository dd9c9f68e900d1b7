from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.base import ModelUnavailable
from deployments.residency import GIB, Residency

PATIENCE_S = 30.0
SIZES_GB = {"pin": 1, "big": 3, "one": 1, "two": 1, "three": 1}


class Storehouse:
    """Loads models that are their own names, in a memory of its own. ``shut`` holds loads up."""

    def __init__(self) -> None:
        self.held = 0
        self.loads: Counter[str] = Counter()
        self.unloaded: list[str] = []
        self.broken: set[str] = set()
        self.shut: set[str] = set()
        self._gates = {name: threading.Event() for name in SIZES_GB}
        self._loop = asyncio.get_running_loop()
        self._started = {name: asyncio.Event() for name in SIZES_GB}

    def load(self, spec: ModelSpec) -> str:
        self.loads[spec.name] += 1
        self._loop.call_soon_threadsafe(self._started[spec.name].set)
        if spec.name in self.shut:
            assert self._gates[spec.name].wait(PATIENCE_S), "nobody opened the gate"
        if spec.name in self.broken:
            raise OSError("no such file: /secret/place")
        self.held += SIZES_GB[spec.name] * GIB
        return spec.name

    def unload(self, model: str) -> None:
        self.held -= SIZES_GB[model] * GIB
        self.unloaded.append(model)

    async def started(self, name: str) -> None:
        await asyncio.wait_for(self._started[name].wait(), PATIENCE_S)

    def open(self, name: str) -> None:
        self._gates[name].set()

    def residency(self, *names: str, budget_gb: float | None = None) -> Residency[str]:
        specs = [
            ModelSpec(
                name=name,
                tasks=("embed",),
                source=FolderSource.model_validate({"folder": "nowhere"}),
                pinned=name == "pin",
            )
            for name in names
        ]
        return Residency(specs, self.load, self.unload, budget_gb)


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storehouse]:
    made = Storehouse()
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=made.held))
    monkeypatch.setattr("deployments.residency.psutil", SimpleNamespace(Process=lambda: process))
    yield made
    for name in SIZES_GB:
        made.open(name)


def names_in(residency: Residency[str]) -> set[str]:
    return {resident.spec.name for resident in residency.residents}


async def used(residency: Residency[str], name: str) -> str:
    async with asyncio.timeout(PATIENCE_S), residency.use(name) as model:
        return model


async def test_what_is_pinned_is_there_before_the_first_request(store: Storehouse) -> None:
    residency = store.residency("pin", "one")
    residency.pin()
    assert names_in(residency) == {"pin"}
    assert await used(residency, "pin") == "pin"
    assert store.loads == {"pin": 1}


async def test_a_pinned_model_that_cannot_be_loaded_fails_the_replica(store: Storehouse) -> None:
    store.broken = {"pin"}
    with pytest.raises(OSError, match="no such file"):
        store.residency("pin").pin()


async def test_the_others_load_once_for_all_who_ask(store: Storehouse) -> None:
    store.shut = {"one"}
    residency = store.residency("one")
    asking = [asyncio.create_task(used(residency, "one")) for _ in range(20)]
    await store.started("one")
    store.open("one")
    assert await asyncio.gather(*asking) == ["one"] * 20
    await used(residency, "one")
    assert store.loads == {"one": 1}


async def test_a_load_holds_up_nobody_who_uses_another_model(store: Storehouse) -> None:
    store.shut = {"one"}
    residency = store.residency("pin", "one")
    residency.pin()
    asking = asyncio.create_task(used(residency, "one"))
    await store.started("one")
    assert await used(residency, "pin") == "pin"
    assert not asking.done()
    store.open("one")
    assert await asking == "one"


async def test_a_failed_load_is_told_without_internals_and_may_be_tried_again(
    store: Storehouse,
) -> None:
    store.broken = {"one"}
    residency = store.residency("one")
    with pytest.raises(ModelUnavailable) as caught:
        await used(residency, "one")
    assert caught.value.problem.kind == "unavailable"
    assert "one" in caught.value.problem.message
    assert "secret" not in caught.value.problem.message
    store.broken = set()
    assert await used(residency, "one") == "one"


async def test_one_failed_load_answers_all_who_waited_for_it(store: Storehouse) -> None:
    store.broken = store.shut = {"one"}
    residency = store.residency("one")
    asking = [asyncio.create_task(used(residency, "one")) for _ in range(5)]
    await store.started("one")
    store.open("one")
    failures = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(failure) for failure in failures} == {ModelUnavailable}
    assert store.loads == {"one": 1}


async def test_a_model_whose_asker_left_while_it_loaded_is_kept(store: Storehouse) -> None:
    store.shut = {"one"}
    residency = store.residency("one")
    asking = asyncio.create_task(used(residency, "one"))
    await store.started("one")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    store.open("one")
    assert await used(residency, "one") == "one"
    assert store.loads == {"one": 1}


async def test_the_least_recently_used_goes_when_the_budget_is_passed(store: Storehouse) -> None:
    residency = store.residency("one", "two", "three", budget_gb=2)
    for name in ("one", "two", "one", "three"):
        await used(residency, name)
    assert store.unloaded == ["two"]
    assert names_in(residency) == {"one", "three"}
    assert store.held == 2 * GIB


async def test_as_many_go_as_the_new_model_needs(store: Storehouse) -> None:
    residency = store.residency("one", "two", "big", budget_gb=4)
    for name in ("one", "two", "big"):
        await used(residency, name)
    assert store.unloaded == ["one"]
    await used(residency, "one")
    assert store.unloaded == ["one", "two"]
    assert store.held == 4 * GIB


async def test_without_a_budget_nothing_goes(store: Storehouse) -> None:
    residency = store.residency("one", "two", "three", "big")
    for name in ("one", "two", "three", "big"):
        await used(residency, name)
    assert len(residency.residents) == 4


async def test_a_pinned_model_never_goes(store: Storehouse) -> None:
    residency = store.residency("pin", "one", "two", budget_gb=1)
    residency.pin()
    for name in ("one", "two"):
        await used(residency, name)
    assert store.unloaded == ["one"]
    assert names_in(residency) == {"pin", "two"}


async def test_a_model_in_use_never_goes(store: Storehouse) -> None:
    residency = store.residency("one", "two", "three", budget_gb=1)
    async with AsyncExitStack() as users:
        await users.enter_async_context(residency.use("one"))
        await users.enter_async_context(residency.use("two"))
        assert store.unloaded == []
    await used(residency, "three")
    assert sorted(store.unloaded) == ["one", "two"]


async def test_a_model_taken_up_while_another_unloads_stays(
    store: Storehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    residency = store.residency("one", "two", "big", budget_gb=3)
    await used(residency, "one")
    await used(residency, "two")
    unload, leaving, may_leave = store.unload, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(model: str) -> None:
        loop.call_soon_threadsafe(leaving.set)
        assert may_leave.wait(PATIENCE_S)
        unload(model)

    monkeypatch.setattr(residency, "_unload", slow)
    loading = asyncio.create_task(used(residency, "big"))
    await asyncio.wait_for(leaving.wait(), PATIENCE_S)
    async with residency.use("two"):
        may_leave.set()
        assert await loading == "big"
        assert store.unloaded == ["one"]


async def test_a_failed_request_gives_its_model_back(store: Storehouse) -> None:
    residency = store.residency("one", "two", budget_gb=1)
    with pytest.raises(ZeroDivisionError):
        async with residency.use("one"):
            raise ZeroDivisionError
    await used(residency, "two")
    assert store.unloaded == ["one"]


async def test_hits_misses_loads_and_unloads_are_noticed(store: Storehouse) -> None:
    noticed: Counter[tuple[str, str]] = Counter()
    specs = [*store.residency("pin", "one", "two")._specs.values()]
    residency = Residency(
        specs, store.load, store.unload, 2, lambda event, name: noticed.update([(event, name)])
    )
    residency.pin()
    await used(residency, "pin")
    await used(residency, "one")
    await used(residency, "one")
    await used(residency, "two")
    store.broken = {"one"}
    with pytest.raises(ModelUnavailable):
        await used(residency, "one")
    assert noticed == {
        ("load", "pin"): 1,
        ("hit", "pin"): 1,
        ("miss", "one"): 2,
        ("load", "one"): 1,
        ("hit", "one"): 1,
        ("miss", "two"): 1,
        ("load", "two"): 1,
        ("unload", "one"): 1,
        ("load_failure", "one"): 1,
    }
