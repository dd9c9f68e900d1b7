from __future__ import annotations

import asyncio
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.backoff import FIRST_S, Backoff
from deployments.models.cache import ModelCache, StillInUseError
from deployments.models.crashes import MAX_ATTEMPTS, ModelLost
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import MemoryUse
from deployments.models.memory_budget import GIB

PATIENCE_S = 30.0
SIZES_GB = {"pin": 1, "big": 3, "one": 1, "two": 1, "three": 1}


class Storehouse:
    """Loads models that are their own names, in a memory of its own. ``shut`` holds loads up."""

    def __init__(self) -> None:
        self.held = 0
        self.loads: Counter[str] = Counter()
        self.unloaded: list[str] = []
        self.dead: set[str] = set()
        self.doomed: set[str] = set()
        self.broken: set[str] = set()
        self.shut: set[str] = set()
        self.now = 0.0
        self.files: Path | None = None
        self.fetches: Counter[str] = Counter()
        self.far: set[str] = set()
        self._files_come = {name: threading.Event() for name in SIZES_GB}
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
        self.dead -= {spec.name} - self.doomed
        return spec.name

    def unload(self, model: str) -> None:
        self.held -= SIZES_GB[model] * GIB
        self.unloaded.append(model)

    def fetch(self, spec: ModelSpec) -> Path:
        """Files of models that are ``far`` do not come before :meth:`deliver`."""
        assert self.files is not None
        self.fetches[spec.name] += 1
        if spec.name in self.far:
            assert self._files_come[spec.name].wait(PATIENCE_S), "nobody delivered"
        return self.files / spec.name

    def deliver(self, name: str) -> None:
        self._files_come[name].set()

    async def started(self, name: str) -> None:
        await asyncio.wait_for(self._started[name].wait(), PATIENCE_S)

    def open(self, name: str) -> None:
        self._gates[name].set()

    def residency(self, *names: str, budget_gb: float | None = None) -> ModelCache[str]:
        specs = [
            ModelSpec(
                name=name,
                tasks=("embed",),
                source=FolderSource.model_validate({"folder": "nowhere"}),
                pinned=name == "pin",
            )
            for name in names
        ]
        return ModelCache(
            specs,
            self.load,
            self.unload,
            budget_gb,
            fetch=None if self.files is None else self.fetch,
            dead=lambda model: model in self.dead,
            backoff=Backoff(lambda: self.now),
        )


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storehouse]:
    made = Storehouse()
    monkeypatch.setattr("deployments.models.cache.memory_use", lambda: MemoryUse(made.held, 0))
    yield made
    for name in SIZES_GB:
        made.open(name)
        made.deliver(name)


def names_in(residency: ModelCache[str]) -> set[str]:
    return {resident.spec.name for resident in residency.residents}


async def used(residency: ModelCache[str], name: str) -> str:
    async with asyncio.timeout(PATIENCE_S), residency.use(name) as model:
        return model


async def stage(residency: ModelCache[str], wanted: str) -> None:
    """Let what was started get to where a model is in stage ``wanted``."""
    async with asyncio.timeout(PATIENCE_S):
        while wanted not in {holding.stage for holding in residency.holdings()}:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def settled(residency: ModelCache[str]) -> None:
    """Let chores that nobody waits for end."""
    async with asyncio.timeout(PATIENCE_S):
        while residency._chores:  # noqa: ASYNC110
            await asyncio.sleep(0)


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
    store.now = FIRST_S
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
    residency = store.residency("pin", "one", "two", budget_gb=2)
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


async def test_a_model_that_just_failed_is_not_loaded_again_by_each_request(
    store: Storehouse,
) -> None:
    store.broken = {"one"}
    residency = store.residency("pin", "one")
    residency.pin()
    for _ in range(100):
        with pytest.raises(ModelUnavailable, match="files are missing"):
            await used(residency, "one")
    assert store.loads["one"] == 1
    assert await used(residency, "pin") == "pin"


async def test_it_is_left_alone_for_longer_each_time_it_fails(store: Storehouse) -> None:
    store.broken = {"one"}
    residency = store.residency("one")
    for loads, later in enumerate((0, FIRST_S, FIRST_S), 1):
        store.now += later
        with pytest.raises(ModelUnavailable):
            await used(residency, "one")
        assert store.loads["one"] == min(loads, 2)


async def test_an_order_tries_at_once_what_has_just_failed(store: Storehouse) -> None:
    store.broken = {"one"}
    residency = store.residency("one")
    with pytest.raises(ModelUnavailable):
        await used(residency, "one")
    store.broken = set()
    await residency.load("one")
    assert await used(residency, "one") == "one"


async def test_a_model_that_fits_beside_nothing_that_stays_is_refused_and_let_go(
    store: Storehouse,
) -> None:
    residency = store.residency("pin", "big", "one", budget_gb=3)
    residency.pin()
    with pytest.raises(ModelUnavailable, match=r"leave 2\.00 GiB"):
        await used(residency, "big")
    assert store.held == SIZES_GB["pin"] * GIB
    assert await used(residency, "one") == "one"
    with pytest.raises(ModelUnavailable):
        await used(residency, "big")
    assert store.loads["big"] == 1


async def test_files_that_are_larger_than_the_budget_are_not_loaded_at_all(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files = tmp_path
    for name, size in (("one", 10), ("big", 2 * GIB)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as weights:
            weights.truncate(size)
    residency = store.residency("one", "big", budget_gb=1)
    assert await used(residency, "one") == "one"
    with pytest.raises(ModelUnavailable, match=r"it takes 2\.00 GiB"):
        await used(residency, "big")
    assert store.loads == {"one": 1}
    assert store.unloaded == []


async def test_files_on_their_way_hold_up_no_request_load_or_unload_of_another_model(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files, store.far = tmp_path, {"one", "two"}
    residency = store.residency("pin", "one", "two", "three", "big")
    residency.pin()
    waiting = [asyncio.create_task(used(residency, name)) for name in ("one", "two")]
    await stage(residency, "fetching")
    async with asyncio.timeout(PATIENCE_S / 2):  # the files do not come in that time
        assert await used(residency, "pin") == "pin"
        assert await used(residency, "three") == "three"
        await residency.load("big")
        assert await residency.unload("pin", PATIENCE_S) == GIB
        assert await residency.unload("three", PATIENCE_S) == GIB
        assert await used(residency, "pin") == "pin"
    assert not any(task.done() for task in waiting)
    store.deliver("two")
    assert await waiting[1] == "two"
    store.deliver("one")
    assert await waiting[0] == "one"


async def test_files_are_fetched_once_for_all_who_ask(store: Storehouse, tmp_path: Path) -> None:
    store.files, store.far = tmp_path, {"one"}
    residency = store.residency("one")
    waiting = [asyncio.create_task(used(residency, "one")) for _ in range(5)]
    waiting.append(asyncio.create_task(used(residency, "one")))
    await stage(residency, "fetching")
    waiting[0].cancel()
    store.deliver("one")
    assert await asyncio.gather(*waiting[1:]) == ["one"] * 5
    assert store.fetches == store.loads == {"one": 1}


async def test_a_model_that_is_unloaded_while_its_files_are_fetched_is_not_loaded_by_them(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files, store.far = tmp_path, {"one"}
    residency = store.residency("one")
    ordered = asyncio.create_task(residency.load("one"))
    asking = asyncio.create_task(used(residency, "one"))
    await stage(residency, "fetching")
    async with asyncio.timeout(PATIENCE_S / 2):  # the files do not come in that time
        assert await residency.unload("one", PATIENCE_S) == 0
        for waiting in (ordered, asking):
            with pytest.raises(ModelUnavailable, match="an order unloaded it") as caught:
                await waiting
            assert caught.value.problem.kind == "unavailable"
    assert not residency.holdings()
    again = asyncio.create_task(used(residency, "one"))
    await stage(residency, "fetching")
    store.deliver("one")
    assert await again == "one"
    assert store.fetches == store.loads == {"one": 1}
    assert not residency.is_kept("one")


async def test_a_fetch_that_fails_is_told_to_all_who_wait_and_may_be_tried_again(
    store: Storehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.files = tmp_path
    fetch = store.fetch

    def lost(spec: ModelSpec) -> Path:
        fetch(spec)
        raise OSError("https://secret/place does not answer")

    monkeypatch.setattr(store, "fetch", lost)
    residency = store.residency("one")
    waiting = [asyncio.create_task(used(residency, "one")) for _ in range(3)]
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(failure) for failure in failures} == {ModelUnavailable}
    assert "secret" not in str(failures)
    assert store.fetches == {"one": 1}
    assert not store.loads


async def test_what_loading_needs_is_made_ready_before_memory_is_measured(
    store: Storehouse,
) -> None:
    def prepare(spec: ModelSpec) -> None:
        store.held += 5 * GIB

    specs = [*store.residency("pin", "one")._specs.values()]
    residency = ModelCache(specs, store.load, store.unload, prepare=prepare)
    residency.pin()
    await used(residency, "one")
    assert [resident.host_bytes for resident in residency.residents] == [GIB, GIB]


async def test_room_is_made_before_a_model_loads_when_its_files_tell_what_it_takes(
    store: Storehouse, tmp_path: Path
) -> None:
    store.files = tmp_path
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "model.safetensors").open("wb") as weights:
            weights.truncate(GIB)
    residency = store.residency("one", "two", budget_gb=1)
    await used(residency, "one")
    store.shut = {"two"}
    loading = asyncio.create_task(used(residency, "two"))
    await store.started("two")
    assert store.unloaded == ["one"]
    store.open("two")
    assert await loading == "two"


async def test_what_passed_the_budget_in_use_goes_when_its_request_ends(
    store: Storehouse,
) -> None:
    residency = store.residency("one", "two", budget_gb=1)
    async with residency.use("one"):
        await used(residency, "two")
        assert store.held == 2 * GIB
    await settled(residency)
    assert store.unloaded in (["one"], ["two"])
    assert store.held == GIB


async def test_what_was_loaded_by_order_stays_until_an_order_unloads_it(
    store: Storehouse,
) -> None:
    residency = store.residency("one", "two", "three", budget_gb=2)
    await residency.load("one")
    for name in ("two", "three"):
        await used(residency, name)
    assert store.unloaded == ["two"]
    assert await residency.unload("one", PATIENCE_S) == GIB
    assert names_in(residency) == {"three"}


async def test_a_pinned_model_may_be_unloaded_by_order_and_comes_back_when_asked_for(
    store: Storehouse,
) -> None:
    residency = store.residency("pin", "one", budget_gb=1)
    residency.pin()
    assert await residency.unload("pin", PATIENCE_S) == GIB
    assert await used(residency, "pin") == "pin"
    await used(residency, "one")
    assert names_in(residency) == {"one"}


async def test_what_was_unloaded_by_order_is_not_pinned_again(store: Storehouse) -> None:
    residency = store.residency("pin", "one")
    residency.pin(leave=["pin"])
    assert names_in(residency) == set()
    assert not residency.is_kept("pin")


async def test_unloading_waits_for_the_requests_that_run(store: Storehouse) -> None:
    residency = store.residency("one")
    async with residency.use("one") as model:
        unloading = asyncio.create_task(residency.unload("one", PATIENCE_S))
        await stage(residency, "leaving")
        assert not unloading.done()
        assert store.unloaded == []
        assert model == "one"
    assert await unloading == GIB
    assert names_in(residency) == set()


async def test_a_request_that_comes_while_a_model_leaves_loads_it_again(
    store: Storehouse,
) -> None:
    residency = store.residency("one")
    async with residency.use("one"):
        unloading = asyncio.create_task(residency.unload("one", PATIENCE_S))
        await stage(residency, "leaving")
        asking = asyncio.create_task(used(residency, "one"))
    assert await unloading == GIB
    assert await asking == "one"
    assert store.loads == {"one": 2}


async def test_a_model_that_stays_in_use_is_not_unloaded_and_serves_on(
    store: Storehouse,
) -> None:
    residency = store.residency("pin")
    residency.pin()
    async with residency.use("pin"):
        with pytest.raises(StillInUseError):
            await residency.unload("pin", 0)
        assert await used(residency, "pin") == "pin"
    assert residency.is_kept("pin")
    assert store.loads == {"pin": 1}


async def test_unloading_comes_after_the_load_that_is_on_its_way(store: Storehouse) -> None:
    store.shut = {"one"}
    residency = store.residency("one")
    loading = asyncio.create_task(residency.load("one"))
    await store.started("one")
    unloading = asyncio.create_task(residency.unload("one", PATIENCE_S))
    store.open("one")
    assert await unloading == GIB
    await loading
    assert store.held in (0, GIB)
    assert store.unloaded == ["one"]


async def test_unloading_what_is_not_loaded_is_done_at_once(store: Storehouse) -> None:
    assert await store.residency("one").unload("one", 0) == 0


async def test_two_orders_to_unload_are_one(store: Storehouse) -> None:
    residency = store.residency("one")
    await residency.load("one")
    both = [residency.unload("one", PATIENCE_S) for _ in range(2)]
    assert await asyncio.gather(*both) == [GIB, GIB]
    assert store.unloaded == ["one"]


async def test_holdings_tell_what_is_there_and_what_is_coming(store: Storehouse) -> None:
    store.shut = {"one"}
    residency = store.residency("pin", "one")
    residency.pin()
    loading = asyncio.create_task(used(residency, "one"))
    await store.started("one")
    held = {holding.model: holding for holding in residency.holdings()}
    assert (held["pin"].stage, held["pin"].host_bytes) == ("warm", GIB)
    assert (held["one"].stage, held["one"].host_bytes) == ("loading", 0)
    store.open("one")
    await loading
    assert {holding.stage for holding in residency.holdings()} == {"warm"}


async def test_no_part_of_a_failed_attempt_is_held_on_to(store: Storehouse) -> None:
    class Half:
        """What a load had made when it failed."""

    made: list[weakref.ref[Half]] = []

    def fail(spec: ModelSpec) -> str:
        half = Half()
        made.append(weakref.ref(half))
        raise MemoryError(spec.name)

    residency = store.residency("one")
    residency._load = fail
    with pytest.raises(ModelUnavailable, match="not enough memory") as caught:
        await used(residency, "one")
    assert made[0]() is None, caught.value


async def test_nothing_refers_to_a_model_that_was_unloaded() -> None:
    class Model:
        """Can be pointed at weakly, and is in a cycle, as torch's modules are."""

        def __init__(self, spec: ModelSpec) -> None:
            self.spec, self.itself = spec, self

    source = FolderSource.model_validate({"folder": "nowhere"})
    spec = ModelSpec(name="one", tasks=("embed",), source=source)
    residency: ModelCache[Model] = ModelCache([spec], Model, lambda _: None)
    async with residency.use("one") as model:
        seen = weakref.ref(model)
        del model
    await residency.unload("one", PATIENCE_S)
    assert seen() is None


async def test_hits_misses_loads_and_unloads_are_noticed(store: Storehouse) -> None:
    noticed: Counter[tuple[str, str]] = Counter()
    specs = [*store.residency("pin", "one", "two")._specs.values()]
    residency = ModelCache(
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


@pytest.mark.parametrize(("half", "fits"), [(True, True), (False, False)])
async def test_files_count_half_where_the_model_computes_in_half_precision(
    half: bool, fits: bool, store: Storehouse, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    with (tmp_path / "one" / "model.safetensors").open("wb") as file:
        file.truncate(int(1.5 * GIB))
    (spec,) = store.residency("one")._specs.values()
    asked: list[str] = []

    def halves(model: ModelSpec) -> bool:
        asked.append(model.name)
        return half

    residency = ModelCache(
        [spec.model_copy(update={"engine": "torch"})],
        store.load,
        store.unload,
        1,
        fetch=lambda spec: tmp_path / spec.name,
        halves=halves,
    )
    if fits:
        assert await used(residency, "one") == "one"
    else:
        with pytest.raises(ModelUnavailable, match=r"it takes 1\.50 GiB"):
            await used(residency, "one")
        assert not store.loads
    assert asked == ["one"]


async def test_a_dead_model_is_loaded_again_for_the_next_request(store: Storehouse) -> None:
    residency = store.residency("pin", "one", budget_gb=5)
    residency.pin()
    await used(residency, "one")
    store.dead = {"one"}
    asking = [asyncio.create_task(used(residency, "one")) for _ in range(5)]
    assert await asyncio.gather(*asking) == ["one"] * 5
    assert store.loads == {"pin": 1, "one": 2}
    assert store.unloaded == ["one"]
    assert store.held == 2 * GIB


async def test_a_dead_model_ends_before_it_is_loaded_again(store: Storehouse) -> None:
    residency = store.residency("pin")
    residency.pin()
    store.dead = store.shut = {"pin"}
    asking = asyncio.create_task(used(residency, "pin"))
    await store.started("pin")
    assert store.unloaded == ["pin"]
    assert names_in(residency) == set()
    store.open("pin")
    await asking


async def test_a_request_on_a_model_that_dies_holds_up_nobody(store: Storehouse) -> None:
    residency = store.residency("pin")
    residency.pin()
    async with residency.use("pin"):
        store.dead = {"pin"}
        assert await used(residency, "pin") == "pin"
    assert store.loads == {"pin": 2}
    assert [resident.users for resident in residency.residents] == [0]


async def test_what_is_kept_is_revived_without_a_request_and_the_rest_by_one(
    store: Storehouse,
) -> None:
    residency = store.residency("pin", "one")
    residency.pin()
    await used(residency, "one")
    store.dead = {"pin", "one"}
    residency.revive()
    await settled(residency)
    assert names_in(residency) == {"pin"}
    assert await used(residency, "one") == "one"
    residency.revive()
    assert store.loads == {"pin": 2, "one": 2}


async def test_a_model_that_dies_at_once_is_not_loaded_again_and_again(store: Storehouse) -> None:
    residency = store.residency("one")
    await used(residency, "one")
    store.dead = store.doomed = {"one"}
    for _ in range(5):
        with pytest.raises(ModelUnavailable, match="its engine stopped"):
            await used(residency, "one")
    assert store.loads == {"one": 2}
    store.now += 2 * FIRST_S
    with pytest.raises(ModelUnavailable):
        await residency.load("one")
    assert store.loads == {"one": 3}
    store.dead, store.doomed = set(), set()
    store.now += 3 * FIRST_S
    assert await used(residency, "one") == "one"


async def test_what_is_kept_and_dies_too_often_is_lost_and_the_rest_is_not(
    store: Storehouse,
) -> None:
    residency = store.residency("pin", "one")
    residency.pin()
    store.doomed = {"pin", "one"}
    for _ in range(MAX_ATTEMPTS - 1):
        await ignored(used(residency, "one"))
        store.dead = {"pin", "one"}
        residency.revive()
        await settled(residency)
        store.now += 100
    with pytest.raises(ModelLost, match="pin"):
        residency.revive()


async def test_a_model_that_was_unloaded_by_order_after_its_death_stays_so(
    store: Storehouse,
) -> None:
    residency = store.residency("pin")
    residency.pin()
    store.dead = {"pin"}
    store.broken = {"pin"}
    residency.revive()
    await settled(residency)
    await residency.unload("pin", within_s=PATIENCE_S)
    store.broken, store.now = set(), 100.0
    residency.revive()
    await settled(residency)
    assert names_in(residency) == set()


async def test_a_model_that_dies_while_an_order_unloads_it_is_not_revived(
    store: Storehouse,
) -> None:
    residency = store.residency("pin")
    residency.pin()
    async with residency.use("pin"):
        leaving = asyncio.create_task(residency.unload("pin", within_s=PATIENCE_S))
        await asyncio.sleep(0)
        store.dead = {"pin"}
        residency.revive()
    store.dead = set()
    await leaving
    residency.revive()
    await settled(residency)
    assert names_in(residency) == set()
    assert store.loads == {"pin": 1}


async def ignored(work: Coroutine[Any, Any, object]) -> None:
    with suppress(ModelUnavailable):
        await work
