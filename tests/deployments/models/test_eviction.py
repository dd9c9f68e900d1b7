"""Models make room for others: when memory runs out, and by what their KV caches may take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.instant_loader import InstantLoader
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.cache import ModelCache
from deployments.models.errors import ModelUnavailable
from deployments.models.loaded_model import FRESH_S, LoadedModel
from deployments.models.memory import GIB, MemoryUse

SIZES_GB = {"pin": 1, "one": 1, "two": 1, "three": 1, "big": 3}


def spec(name: str, **fields: Any) -> ModelSpec:
    source = FolderSource.model_validate({"folder": "nowhere"})
    return ModelSpec(name=name, source=source, pinned=name == "pin", **fields)


class SmallMachine(InstantLoader[str]):
    """Loads models that are their own names into a memory of ``room_gb``."""

    def __init__(self, files: Path) -> None:
        super().__init__(lambda spec: spec.name)
        self.room_gb = 100
        self.held_gb = 0
        self.error: Exception = MemoryError()
        self.kv_cache_gb = 0
        self.loads: Counter[str] = Counter()
        self._files = files

    def fetch(self, spec: ModelSpec) -> Path:
        return self._files / spec.name

    def load(self, spec: ModelSpec) -> str:
        self.loads[spec.name] += 1
        if self.held_gb + SIZES_GB[spec.name] > self.room_gb:
            raise self.error
        self.held_gb += SIZES_GB[spec.name]
        return spec.name

    def unload(self, model: str) -> None:
        self.held_gb -= SIZES_GB[model]

    def kv_cache_bytes(self, spec: ModelSpec, model: str) -> int:
        return self.kv_cache_gb * GIB

    def cache(
        self,
        *names: str,
        budget_gb: float | None = None,
        task: str = "embed",
        kv_cache_gb: float | None = None,
    ) -> ModelCache[str]:
        specs = [spec(name, tasks=(task,), kv_cache_gb=kv_cache_gb) for name in names]
        return ModelCache(specs, self, lambda event, name: None, budget_gb)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SmallMachine:
    made = SmallMachine(tmp_path)
    monkeypatch.setattr(
        "deployments.models.load_thread.memory_use", lambda: MemoryUse(made.held_gb * GIB, 0)
    )
    return made


async def used(cache: ModelCache[str], *names: str) -> None:
    for name in names:
        async with cache.use(name):
            pass


def names_in(cache: ModelCache[str]) -> set[str]:
    return {model.spec.name for model in cache.loaded}


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
async def test_when_memory_runs_out_the_least_recently_used_model_goes_and_it_is_tried_again(
    machine: SmallMachine, error: Exception
) -> None:
    machine.room_gb, machine.error = 2, error
    cache = machine.cache("one", "two", "three")
    await used(cache, "one", "two", "three")
    assert names_in(cache) == {"two", "three"}
    assert machine.loads == {"one": 1, "two": 1, "three": 2}


async def test_as_many_go_as_the_files_of_the_model_take(
    machine: SmallMachine, tmp_path: Path
) -> None:
    (tmp_path / "big").mkdir()
    with (tmp_path / "big" / "model.safetensors").open("wb") as sparse:
        sparse.truncate(3 * GIB)
    machine.room_gb = 4
    cache = machine.cache("one", "two", "three", "big")
    await used(cache, "one", "two", "three", "one", "big")
    assert names_in(cache) == {"big"}
    assert machine.loads["big"] == 2


async def test_as_many_go_as_the_model_took_the_last_time(machine: SmallMachine) -> None:
    cache = machine.cache("one", "two", "three", "big")
    await used(cache, "big")
    await cache.unload("big", within_s=0)
    machine.room_gb = 4
    await used(cache, "one", "two", "three", "one", "big")
    assert names_in(cache) == {"big"}
    assert machine.loads["big"] == 3


async def test_models_that_are_pinned_or_in_use_stay_when_memory_runs_out(
    machine: SmallMachine,
) -> None:
    machine.room_gb = 2
    cache = machine.cache("pin", "one", "two")
    await cache.load_pinned()
    async with cache.use("one"):
        with pytest.raises(ModelUnavailable) as failure:
            await used(cache, "two")
    assert failure.value.reason == "there is not enough memory for it"
    assert names_in(cache) == {"pin", "one"}
    assert machine.loads["two"] == 1


async def test_a_model_that_runs_out_of_memory_again_is_not_tried_a_third_time(
    machine: SmallMachine,
) -> None:
    machine.room_gb = 2
    cache = machine.cache("one", "two", "big")
    await used(cache, "one", "two")
    with pytest.raises(ModelUnavailable, match="not enough memory"):
        await used(cache, "big")
    assert machine.loads["big"] == 2
    assert names_in(cache) == {"two"}


async def test_another_failure_evicts_nothing(machine: SmallMachine) -> None:
    machine.room_gb, machine.error = 1, OSError("no such file")
    cache = machine.cache("one", "two")
    await used(cache, "one")
    with pytest.raises(ModelUnavailable):
        await used(cache, "two")
    assert names_in(cache) == {"one"}
    assert machine.loads["two"] == 1


async def test_a_model_whose_kv_cache_does_not_fit_is_refused_before_it_is_loaded(
    machine: SmallMachine,
) -> None:
    cache = machine.cache("pin", "one", budget_gb=3.5, task="generate", kv_cache_gb=3.0)
    await cache.load_pinned()
    with pytest.raises(ModelUnavailable, match=r"takes 3\.00 GiB"):
        await used(cache, "one")
    assert machine.loads["one"] == 0


async def test_a_kv_cache_counts_in_full_before_it_is_filled(machine: SmallMachine) -> None:
    machine.kv_cache_gb = 2
    cache = machine.cache("one", "two", budget_gb=6)
    await used(cache, "one", "two")
    assert names_in(cache) == {"one", "two"}
    machine.kv_cache_gb = 3
    cache = machine.cache("one", "two", budget_gb=6)
    await used(cache, "one", "two")
    assert names_in(cache) == {"two"}
    assert [status.kv_cache_bytes for status in cache.statuses()] == [3 * GIB]


async def test_what_a_kv_cache_takes_in_the_engines_own_process_counts_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, now = GIB, 0.0
    monkeypatch.setattr("deployments.models.loaded_model.process_bytes", lambda process: taken)
    writer = spec("one", tasks=("generate",))
    model = LoadedModel(
        writer, "one", MemoryUse(0, 0), process=1, kv_cache_bytes=2 * GIB, clock=lambda: now
    )
    assert model.budget_bytes() == 3 * GIB
    taken, now = 2 * GIB, now + FRESH_S  # half of the KV cache is filled
    assert model.budget_bytes() == 3 * GIB
    taken, now = 4 * GIB, now + FRESH_S  # and the process has grown besides
    assert model.budget_bytes() == 4 * GIB
