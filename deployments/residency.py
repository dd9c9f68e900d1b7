"""Which models are in memory: pinned ones from the start, others from their first request on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

from configs.profile import ModelSpec
from deployments.base import ModelUnavailable
from deployments.metrics.meter import ModelEvent

logger = logging.getLogger(__name__)

GIB = 1024**3
M = TypeVar("M")


@dataclass(slots=True)
class Resident(Generic[M]):
    """One loaded model, how much memory its loading took, and how many requests are on it."""

    spec: ModelSpec
    model: M
    host_bytes: int
    users: int = 0
    last_used: float = 0.0


class Residency(Generic[M]):
    """The models of one replica, loaded by name, evicted least recently used first by bytes.

    ``budget_gb`` bounds what loaded models take together; a model that requests are running on and
    a pinned model are never evicted, even over the budget. One model loads at a time, in a thread
    of its own, while requests for the others go on. ``notice`` is told of each request that finds
    or misses its model, and of each load and unload.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        load: Callable[[ModelSpec], M],
        unload: Callable[[M], None],
        budget_gb: float | None = None,
        notice: Callable[[ModelEvent, str], None] = lambda event, name: None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._load = load
        self._unload = unload
        self._notice = notice
        self._budget = None if budget_gb is None else int(budget_gb * GIB)
        self._residents: dict[str, Resident[M]] = {}
        self._loading = asyncio.Lock()
        self._admissions: dict[str, asyncio.Task[None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def residents(self) -> list[Resident[M]]:
        return list(self._residents.values())

    def pin(self) -> None:
        """Load every pinned model, here and now. What cannot be loaded fails the replica."""
        for spec in self._specs.values():
            if spec.pinned:
                self._residents[spec.name] = self._measured(spec)

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[M]:
        """The model ``name``, kept in memory for as long as the block runs.

        Raises :class:`ModelUnavailable` when it cannot be loaded; the next request tries again.
        """
        self._notice("hit" if name in self._residents else "miss", name)
        while (resident := self._residents.get(name)) is None:
            await self._admitted(name)
        resident.users += 1
        try:
            yield resident.model
        finally:
            resident.users -= 1
            resident.last_used = time.monotonic()

    async def _admitted(self, name: str) -> None:
        """Wait for the one load of ``name``, which goes on when a request that waits is gone."""
        admission = self._admissions.get(name)
        if admission is None:
            admission = asyncio.get_running_loop().create_task(self._admit(self._specs[name]))
            admission.add_done_callback(lambda _: self._admissions.pop(name))
            self._admissions[name] = admission
        await asyncio.shield(admission)

    async def _admit(self, spec: ModelSpec) -> None:
        async with self._loading:
            loop = asyncio.get_running_loop()
            resident = await loop.run_in_executor(self._thread, self._attempt, spec)
            resident.last_used = time.monotonic()
            self._residents[spec.name] = resident
            await self._evict(keep=spec.name)

    async def _evict(self, keep: str) -> None:
        loop = asyncio.get_running_loop()
        while self._budget is not None and self._held() > self._budget:
            idle = self._evictable(keep)  # asked anew: a request may have come while one unloaded
            if not idle:
                return
            del self._residents[idle[0].spec.name]
            logger.info("evicting %s", idle[0].spec.name)
            await loop.run_in_executor(self._thread, self._unload, idle[0].model)
            self._notice("unload", idle[0].spec.name)

    def _evictable(self, keep: str) -> list[Resident[M]]:
        idle = [r for r in self.residents if not (r.users or r.spec.pinned or r.spec.name == keep)]
        return sorted(idle, key=lambda resident: resident.last_used)

    def _held(self) -> int:
        return sum(resident.host_bytes for resident in self.residents)

    def _attempt(self, spec: ModelSpec) -> Resident[M]:
        try:
            return self._measured(spec)
        except Exception as error:  # outermost edge of loading: libraries raise anything here
            logger.exception("loading %s failed", spec.name)
            self._notice("load_failure", spec.name)
            raise ModelUnavailable(spec.name, type(error).__name__) from error

    def _measured(self, spec: ModelSpec) -> Resident[M]:
        process = psutil.Process()
        before, started = process.memory_info().rss, time.monotonic()
        model = self._load(spec)
        taken = max(0, process.memory_info().rss - before)
        seconds = time.monotonic() - started
        self._notice("load", spec.name)
        logger.info("loaded %s in %.1f s, %.2f GiB", spec.name, seconds, taken / GIB)
        return Resident(spec, model, taken)
