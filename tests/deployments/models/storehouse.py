"""A store of models that are their own names, for tests of the model cache."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from bench.instant_loader import InstantLoader
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.backoff import Backoff
from deployments.models.cache import ModelCache
from deployments.models.memory import GIB

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


def names_in(cache: ModelCache[str]) -> set[str]:
    return {model.spec.name for model in cache.loaded}


async def used(cache: ModelCache[str], name: str) -> str:
    async with asyncio.timeout(PATIENCE_S), cache.use(name) as model:
        return model


async def stage(cache: ModelCache[str], wanted: str) -> None:
    """Let what was started get to where a model is in stage ``wanted``."""
    async with asyncio.timeout(PATIENCE_S):
        while wanted not in {status.stage for status in cache.statuses()}:  # noqa: ASYNC110
            await asyncio.sleep(0)
