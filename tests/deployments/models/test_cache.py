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

from bench.instant_loader import InstantLoader
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.backoff import FIRST_S, Backoff
from deployments.models.cache import ModelCache
from deployments.models.crashes import MAX_ATTEMPTS, ModelLost
from deployments.models.errors import ModelUnavailable, StillInUseError
from deployments.models.memory import GIB, MemoryUse

PATIENCE_S = 30.0
SIZES_GB = {"pin": 1, "big": 3, "one": 1, "two": 1, "three": 1}


class Storehouse(InstantLoader[str]):
    """Loads models that are their own names, in a memory of its own. ``shut`` holds loads up."""

    def __init__(self) -> None:
        super().__init__(lambda spec: spec.name)
        self.held = 0
        self.events: Counter[tuple[str, str]] = Counter()
        self.half = False
        self.libraries = 0
        self.loads: Counter[str] = Counter()
        self.unloaded: list[str] = []
        self.dead: set[str] = set()
        self.doomed: set[str] = set()
        self.cured_by_rest: set[str] = set()
        self.early_s = 0.0
        self.broken: set[str] = set()
        self.shut: set[str] = set()
        self.now = 0.0
        self.ticks = 0.0
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
        return super().load(spec)

    def unload(self, model: str) -> None:
        self.held -= SIZES_GB[model] * GIB
        self.unloaded.append(model)

    def fetch(self, spec: ModelSpec) -> Path:
        """Files of models that are ``far`` do not come before :meth:`deliver`."""
        if self.files is None:
            return super().fetch(spec)
        self.fetches[spec.name] += 1
        if spec.name in self.far:
            assert self._files_come[spec.name].wait(PATIENCE_S), "nobody delivered"
        return self.files / spec.name

    def prepare(self, spec: ModelSpec) -> None:
        self.held += self.libraries

    def is_dead(self, model: str) -> bool:
        return model in self.dead

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return self.half

    def deliver(self, name: str) -> None:
        self._files_come[name].set()

    async def started(self, name: str) -> None:
        """A load has begun that no earlier call has waited for."""
        await asyncio.wait_for(self._started[name].wait(), PATIENCE_S)
        self._started[name].clear()

    def open(self, name: str) -> None:
        self._gates[name].set()

    def record(self, event: str, name: str) -> None:
        """A second passes with each event."""
        self.events.update([(event, name)])
        self.ticks += 1

    def cache(self, *names: str, budget_gb: float | None = None, **fields: Any) -> ModelCache[str]:
        specs = self.specs(*names, **fields)
        backoff = Backoff(lambda: self.now, self.sleep)
        return ModelCache(specs, self, self.record, budget_gb, backoff, lambda: self.ticks)

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds - self.early_s, 0.125)
        self.doomed -= self.cured_by_rest

    async def pinned_cache(self, *names: str, **fields: Any) -> ModelCache[str]:
        """A cache whose pinned models are loaded."""
        cache = self.cache(*names, **fields)
        await cache.load_pinned()
        return cache

    def specs(self, *names: str, **fields: Any) -> list[ModelSpec]:
        return [
            ModelSpec(
                name=name,
                tasks=("embed",),
                source=FolderSource.model_validate({"folder": "nowhere"}),
                pinned=name == "pin",
                **fields,
            )
            for name in names
        ]


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storehouse]:
    made = Storehouse()
    monkeypatch.setattr(
        "deployments.models.load_thread.memory_use", lambda: MemoryUse(made.held, 0)
    )
    yield made
    for name in SIZES_GB:
        made.open(name)
        made.deliver(name)


def names_in(cache: ModelCache[str]) -> set[str]:
    return {model.spec.name for model in cache.loaded}


async def used(cache: ModelCache[str], name: str) -> str:
    async with asyncio.timeout(PATIENCE_S), cache.use(name) as model:
        return model


async def loading_one(store: Storehouse) -> tuple[ModelCache[str], asyncio.Task[str]]:
    """A cache with ``pin`` loaded, and a request for ``one``, which loads until it is opened."""
    store.shut = {"one"}
    cache = await store.pinned_cache("pin", "one")
    asking = asyncio.create_task(used(cache, "one"))
    await store.started("one")
    return cache, asking


async def stage(cache: ModelCache[str], wanted: str) -> None:
    """Let what was started get to where a model is in stage ``wanted``."""
    async with asyncio.timeout(PATIENCE_S):
        while wanted not in {status.stage for status in cache.statuses()}:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def settled(cache: ModelCache[str]) -> None:
    """Let chores that nobody waits for end."""
    async with asyncio.timeout(PATIENCE_S):
        while cache._background:  # noqa: ASYNC110
            await asyncio.sleep(0)


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


async def test_an_order_tries_at_once_what_has_just_failed(store: Storehouse) -> None:
    store.broken = {"one"}
    cache = store.cache("one")
    with pytest.raises(ModelUnavailable):
        await used(cache, "one")
    store.broken = set()
    await cache.load("one")
    assert await used(cache, "one") == "one"


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
