"""A model cache on a simulated clock, whose models take time to load and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.instant_loader import InstantLoader
from bench.virtual_time import VirtualLoop
from configs.profile import ModelSpec
from configs.weights import FolderSource
from deployments.models.backoff import Backoff
from deployments.models.cache import ModelCache
from deployments.models.memory import GIB, MemoryUse

LOAD_S = 10.0


class Shelf(InstantLoader[str]):
    """Loads models that are their own names, in ``LOAD_S`` seconds each.

    They take as many GiB as ``sizes_gb`` says, else one.
    """

    def __init__(self, loop: VirtualLoop, budget_gb: float) -> None:
        super().__init__(lambda spec: spec.name)
        self.loop = loop
        self.held = 0
        self.sizes_gb: dict[str, int] = {}
        self.load_s = LOAD_S
        self.log: list[str] = []
        self.broken: set[str] = set()
        self.folders: dict[str, Path] = {}
        self.cache = self.cache_of(budget_gb)

    def cache_of(self, budget_gb: float) -> ModelCache[str]:
        source = FolderSource.model_validate({"folder": "nowhere"})
        specs = [ModelSpec(name=name, tasks=("embed",), source=source) for name in "abcd"]
        clock = self.loop.time
        return ModelCache(specs, self, lambda *_: None, budget_gb, Backoff(clock), clock)

    def fetch(self, spec: ModelSpec) -> Path:
        return self.folders.get(spec.name, Path("nowhere"))

    def load(self, spec: ModelSpec) -> str:
        self.loop.spend(self.load_s)
        if spec.name in self.broken:
            raise OSError
        self.held += self.sizes_gb.get(spec.name, 1)
        self.log.append(f"+{spec.name}")
        return spec.name

    def unload(self, model: str) -> None:
        self.held -= self.sizes_gb.get(model, 1)
        self.log.append(f"-{model}")

    async def known(self, *names: str) -> None:
        """Load these models, so that their size is known, and have some time pass."""
        for name in names:
            async with self.cache.use(name):
                pass
        await asyncio.sleep(10 * LOAD_S)
        self.log.clear()

    async def ask(self, name: str, seconds: float = 1.0) -> float:
        """A request that takes ``seconds``; when it began."""
        async with self.cache.use(name):
            began = self.loop.time()
            await asyncio.sleep(seconds)
            return began

    @asynccontextmanager
    async def clients(
        self, name: str, number: int = 1, pause_s: float = 0.01, seconds: float = 1.0
    ) -> AsyncIterator[None]:
        """Clients that ask for ``name`` again and again while the block runs."""

        async def client() -> None:
            while True:
                await self.ask(name, seconds)
                await asyncio.sleep(pause_s)

        tasks = [asyncio.create_task(client()) for _ in range(number)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def on_simulated_time(
    test: Callable[[Shelf], Coroutine[Any, Any, None]],
) -> Callable[[pytest.MonkeyPatch], None]:
    """Runs a test on the simulated clock, with room for one model and a half."""

    def run(monkeypatch: pytest.MonkeyPatch) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            shelf = Shelf(loop, 1.5)
            thread = "deployments.models.load_thread"
            monkeypatch.setattr(f"{thread}.memory_use", lambda: MemoryUse(shelf.held * GIB, 0))
            monkeypatch.setattr(f"{thread}.give_back", lambda: None)
            runner.run(test(shelf))

    return run
