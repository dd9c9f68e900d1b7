"""Loads a model within the memory budget: others make room for it, or it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from configs.profile import ModelSpec
from deployments.models.cached_models import CachedModels
from deployments.models.errors import ModelUnavailable, OutOfMemory
from deployments.models.eviction import Eviction
from deployments.models.load_thread import LoadThread
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory_budget import MemoryBudget
from deployments.models.past_loads import PastLoads

M = TypeVar("M")

MAX_PROGRESS = 0.99
"""Of a load that takes longer than the last one."""

REMEASURE_S = 600.0
"""A model is not refused for a size that was measured longer ago: memory that requests on other
models took meanwhile counts as the model's."""


class BudgetedLoad(Generic[M]):
    """Loads models on demand. Called with the cache's lock held, as ``eviction``.

    ``clock`` counts seconds.
    """

    def __init__(
        self,
        models: CachedModels[M],
        budget: MemoryBudget,
        eviction: Eviction[M],
        thread: LoadThread[M],
        clock: Callable[[], float],
    ) -> None:
        self._models = models
        self._budget = budget
        self._eviction = eviction
        self._thread = thread
        self._clock = clock
        self._past = PastLoads()
        self._began: tuple[ModelSpec, float] | None = None

    async def load(self, spec: ModelSpec, min_bytes: int) -> LoadedModel[M]:
        """The model, loaded. Raises :class:`ModelUnavailable` if it does not fit, before it is
        loaded if ``min_bytes`` or those of its last load do not, or if loading fails.

        If memory runs out meanwhile, others are evicted, and it is tried once more.
        """
        try:
            return await self._load(spec, min_bytes)
        finally:
            self._began = None

    async def _load(self, spec: ModelSpec, min_bytes: int) -> LoadedModel[M]:
        await self.check_fit(spec, self.known_bytes(spec, min_bytes))
        await self._eviction.make_room(self.needed(spec, min_bytes))
        self._began = spec, self._clock()
        try:
            loaded = await self._thread.load(spec)
        except OutOfMemory:
            if not await self._eviction.free(self.needed(spec, min_bytes), keep=spec.name):
                raise
            loaded = await self._thread.load(spec)
        nbytes = await asyncio.to_thread(loaded.budget_bytes)
        self._past.note(loaded, nbytes)
        try:
            await self.check_fit(spec, nbytes)
        except ModelUnavailable:
            await self._thread.unload(loaded)
            raise
        return loaded

    def needed(self, spec: ModelSpec, min_bytes: int) -> int:
        """The bytes that the model took the last time, if that is known, and at least
        ``min_bytes``."""
        return max(min_bytes, self._past.nbytes(spec))

    def known_bytes(self, spec: ModelSpec, min_bytes: int) -> int:
        """The same, for which a model may be refused: by its last load if that was lately."""
        return max(min_bytes, self._past.nbytes(spec, self._clock() - REMEASURE_S))

    def progress(self, name: str) -> float | None:
        """How much of the time has passed that the last load of the model took, between 0 and 1;
        ``None`` if that is not known, or it does not load now. May be called from any thread."""
        began = self._began
        if began is None or began[0].name != name or not (seconds := self._past.seconds(began[0])):
            return None
        return min((self._clock() - began[1]) / seconds, MAX_PROGRESS)

    async def check_fit(self, spec: ModelSpec, needed: int) -> None:
        """Raises :class:`ModelUnavailable` if ``needed`` bytes do not fit beside pinned models."""
        await self._budget.check_fit(spec, needed, self._models.pinned_beside(spec.name))
