"""What every family behind a lane shares: its models, admission to the lane, its live limits."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from ray import serve

from configs.engines import Engine
from configs.profile import Live, ModelSpec
from deployments.base import FamilyConfig
from deployments.lane import Lane
from deployments.lifecycle import Lifecycle
from deployments.memory import import_libraries
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.metrics.report import Sample
from deployments.residency import Residency
from deployments.seam import Problem

ADMITTED_TOGETHER = 1024
"""Requests that ``@serve.batch`` hands over in one go; the model's batch is cut by the lane."""

UNANSWERED = Problem("internal", "the model gave no answer")

T = TypeVar("T")
P = ParamSpec("P")


class Laned(Protocol):
    """A loaded model and the lane that leads to it."""

    lane: Lane[Any, Any]
    engine: Engine

    def close(self) -> None: ...


M = TypeVar("M", bound=Laned)


@dataclass(frozen=True, slots=True)
class Job:
    lane: Lane[Any, Any]
    items: list[Any]


class LaneFamily(Lifecycle[M], ABC, Generic[M]):
    """A deployment whose models answer in batches. A family says how a model is loaded.

    ``libraries`` are imported before a model is loaded: their memory is not the first model's.
    """

    libraries: tuple[str, ...] = ("transformers.modeling_utils",)

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._batch = config.settings.batch_size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._meter = Meter(config.ledger, self._gauges)
        self._begin(
            Residency(
                config.models,
                self._load,
                _close,
                config.settings.max_memory_gb,
                self._meter.model,
                fetch=self._fetch,
                engine=lambda model: model.engine,
            )
        )

    def _fetch(self, spec: ModelSpec) -> Path:
        """The model's files, at hand, and imported what opens them: that is not the model's."""
        import_libraries(*self.libraries)
        return self._config.folder(spec)

    @abstractmethod
    def _load(self, spec: ModelSpec) -> M:
        """The model, ready to answer, behind a lane that :meth:`_lane` made."""

    def reconfigure(self, live: Mapping[str, Any]) -> None:
        """Batch size and wait, changed on a running replica by Serve's ``user_config``."""
        limits = Live.model_validate(dict(live))
        self._batch = limits.max_batch_size
        for resident in self._residency.residents:
            resident.model.lane.max_items = self._batch
        admit: Any = self._admit  # Serve's decorator adds the method below
        admit.set_batch_wait_timeout_s(limits.batch_wait_timeout_s)

    async def check_health(self) -> None:
        """Raises when a forward has been running for longer than any may."""
        self._meter.start()
        for resident in self._residency.residents:
            resident.model.lane.check(self._config.settings.stall_timeout_s)
        self._settle()

    def _lane(
        self,
        name: str,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        size: Callable[[Any], int],
    ) -> Lane[Any, Any]:
        """The lane to the model ``name``, of this family's batch size; its batches are metered."""
        return Lane(name, run, size, self._batch, partial(self._meter.batch, name))

    async def _through(self, lane: Lane[Any, Any], items: list[Any]) -> list[Any]:
        """One answer an item, in order; when the asker is cancelled, its items leave the queue."""
        futures = await self._admit(Job(lane, items))
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    async def _in_thread(self, function: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
        """What comes before the model: off the event loop, and beside the model."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *given, **options))

    @serve.batch(max_batch_size=ADMITTED_TOGETHER, batch_wait_timeout_s=0.0)
    async def _admit(self, jobs: list[Job]) -> list[list[asyncio.Future[Any]]]:
        """Admission only: the futures come back at once, the batch is formed behind them."""
        return [job.lane.admit(job.items) for job in jobs]

    def _gauges(self) -> Iterator[Sample]:
        for resident in self._residency.residents:
            name = resident.spec.name
            yield signals.MEMORY.of(name, amount=resident.host_bytes)
            yield signals.WAITING.of(name, amount=resident.model.lane.depth)


def _close(model: Laned) -> None:
    model.close()
