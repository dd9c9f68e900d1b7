"""Evicts loaded models, those first whose memory is worth least: of the models that no request uses
and that need not stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from deployments.models.cached_models import CachedModels
from deployments.models.eviction_order import to_evict
from deployments.models.load_thread import LoadThread
from deployments.models.memory_budget import MemoryBudget, model_sizes

logger = logging.getLogger(__name__)

M = TypeVar("M")


class Eviction(Generic[M]):
    """The one rule by which models leave the cache that no order unloads.

    Its methods are called with the cache's lock held. ``clock`` is that of the models.
    """

    def __init__(
        self,
        models: CachedModels[M],
        budget: MemoryBudget,
        thread: LoadThread[M],
        clock: Callable[[], float],
    ) -> None:
        self._models = models
        self._budget = budget
        self._thread = thread
        self._clock = clock

    @property
    def is_bounded(self) -> bool:
        """Whether there is a budget that models could exceed."""
        return self._budget.is_bounded

    async def make_room(self, needed: int = 0, keep: Collection[str] = ()) -> bool:
        """Evict until ``needed`` more bytes fit the budget, or no model is left that may go.

        The models in ``keep`` stay. Returns whether the bytes fit.
        """
        while True:
            loaded = self._models.loaded.values()
            excess, sizes = await self._budget.excess(loaded, needed)
            if excess <= 0:
                return True
            if await self._evict_one(excess, sizes, keep) is None:
                return False

    async def free(self, needed: int, keep: str) -> bool:
        """Evict until memory has fallen by ``needed`` bytes, at least one model; whether one went.

        For memory that ran out although the budget, if there is one, had room.
        """
        freed = 0
        while freed < max(needed, 1):
            sizes = await model_sizes(self._models.loaded.values())
            more = await self._evict_one(max(needed - freed, 1), sizes, [keep])
            if more is None:
                return freed > 0
            freed += max(more, 1)  # a model that freed nothing is gone all the same
        return True

    async def _evict_one(
        self, excess: int, sizes: Mapping[str, int], keep: Collection[str]
    ) -> int | None:
        """Evict one model of those that have to go until memory has fallen by ``excess`` bytes; by
        how many bytes it fell, ``None`` when none may go."""
        # Chosen anew each time: a request may have come while another model was unloaded.
        idle = [each for each in self._models.evictable(sizes.keys() - keep) if not each.users]
        chosen = to_evict(idle, sizes, excess, self._clock())
        if not chosen:
            return None
        logger.info("evicting %s", chosen[0].spec.name)
        return await self._thread.unload(self._models.loaded.pop(chosen[0].spec.name))
