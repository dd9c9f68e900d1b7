"""Evicts loaded models: the least recently used of those that no request uses and that need not
stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from deployments.models.load_thread import LoadThread
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory_budget import MemoryBudget, least_recently_used

logger = logging.getLogger(__name__)

M = TypeVar("M")


class Eviction(Generic[M]):
    """The one rule by which models leave the cache that no order unloads.

    ``loaded`` are the models of the cache, of which those in ``staying()`` are never evicted. Its
    methods are called with the cache's lock held.
    """

    def __init__(
        self,
        loaded: dict[str, LoadedModel[M]],
        staying: Callable[[], Collection[str]],
        budget: MemoryBudget,
        thread: LoadThread[M],
    ) -> None:
        self._loaded = loaded
        self._staying = staying
        self._budget = budget
        self._thread = thread

    async def make_room(self, needed: int = 0, keep: str | None = None) -> None:
        """Evict until ``needed`` more bytes fit the budget, or no model is left that may go.

        The model ``keep`` stays.
        """
        while await self._budget.is_exceeded(list(self._loaded.values()), needed):
            if await self._evict_one(keep) is None:
                return

    async def free(self, needed: int, keep: str) -> bool:
        """Evict until memory has fallen by ``needed`` bytes, at least one model; whether one went.

        For memory that ran out although the budget, if there is one, had room.
        """
        freed = await self._evict_one(keep)
        if freed is None:
            return False
        while freed < needed:
            more = await self._evict_one(keep)
            if more is None:
                break
            freed += more
        return True

    async def _evict_one(self, keep: str | None) -> int | None:
        """Evict one model; by how many bytes memory fell, ``None`` when none may go."""
        # Computed anew each time: a request may have come while another model was unloaded.
        oldest = least_recently_used(self._loaded.values(), {*self._staying(), keep})
        if oldest is None:
            return None
        logger.info("evicting %s", oldest.spec.name)
        return await self._thread.unload(self._loaded.pop(oldest.spec.name))
