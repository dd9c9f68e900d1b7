"""Whose turn it is to be in memory, of models that do not fit there together.

Without turns, two clients that each ask for another model would have it loaded anew for each
request. So a model that was loaded serves for a while before it makes room:

- Its turn lasts as long as loading it took, up to ``MAX_TURN_S``. So with shorter loads at most
  about half of the time goes into loading, while requests come without pauses.
- While no request uses it, it is kept for a tenth of that: a client that waits for an answer before
  it sends the next request has its turn too, and waiting costs little beside a load. A client that
  pauses for longer has its model loaded anew.
- When the turn is over, running requests end, and further ones wait until the other model is
  loaded. Then that model's turn begins, and those of models that wait besides come in the order in
  which they were asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from deployments.models.cached_models import CachedModels
from deployments.models.errors import BudgetExceeded
from deployments.models.eviction_order import to_evict
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory_budget import MemoryBudget

MAX_TURN_S = 20.0
MAX_TURN_REQUESTS = 1000
"""A turn ends after this time and this number of requests, however long loading took."""

IDLE_PART = 0.1
"""The part of its turn for which a model is kept that no request uses."""

MAX_WAIT_S = 30.0
"""The load that is next in the queue waits for the other models at most this long, then goes beyond
the budget: requests on them may run for minutes. While the budget is exceeded, it is refused."""


class Turns:
    """Queues loads that need the memory of other models.

    Without a budget there are no turns. ``clock`` is that of the models.
    """

    def __init__(
        self,
        models: CachedModels[Any],
        budget: MemoryBudget,
        clock: Callable[[], float],
    ) -> None:
        self._models = models
        self._budget = budget
        self._clock = clock
        self._queue = asyncio.Lock()
        self._loading = 0  # bytes of the models that load now
        self._closed: frozenset[str] = frozenset()
        self._reopened = asyncio.Event()
        self._reconsider = asyncio.Event()

    def admits(self, name: str) -> bool:
        """Whether a request may use the model ``name`` now, which counts for its turn; else it has
        to :meth:`wait_until_reopened`."""
        if name in self._closed:
            return False
        if self._queue.locked() and self._models.loaded[name].requests >= MAX_TURN_REQUESTS - 1:
            self._reconsider.set()
        return True

    async def wait_until_reopened(self) -> None:
        """Wait until another model is loaded, and requests that had to wait may try again."""
        await self._reopened.wait()

    def reconsider(self) -> None:
        """A model is idle, gone or pinned now: a load may be waiting for that."""
        self._reconsider.set()

    def idle_until(self) -> dict[str, float]:
        """The models that no request uses and whose turn goes on, and until when."""
        now = self._clock()
        idle = (each for each in self._models.loaded.values() if not each.users)
        return {each.spec.name: _kept_until(each) for each in idle if _is_kept(each, now)}

    @asynccontextmanager
    async def turn(self, name: str, needed: int) -> AsyncIterator[None]:
        """Wait until ``needed`` bytes can be made free, and keep them so while the block runs.

        Where they are free there is nothing to wait for. At the end of the block the next load may
        begin. Raises :class:`BudgetExceeded` for the model ``name`` where an earlier load has
        exceeded the budget, and requests do not end in time.
        """
        with self._loads(needed):
            if (await self._excess(self._loading))[0] <= 0:
                yield
                return
        async with self._queue:
            try:
                await self._wait(name, needed)
                with self._loads(needed):
                    yield
            finally:
                self._close([])

    @contextmanager
    def _loads(self, needed: int) -> Iterator[None]:
        """A model that takes ``needed`` bytes loads while the block runs."""
        self._loading += needed
        try:
            yield
        finally:
            self._loading -= needed
            self._reconsider.set()

    async def _wait(self, name: str, needed: int) -> None:
        give_up = self._clock() + MAX_WAIT_S
        while True:
            self._reconsider.clear()
            leaving, suffices = await self._leaving(needed + self._loading)
            now = self._clock()
            unloading = self._models.unloading
            kept = [each for each in leaving if each.spec.name in unloading or _is_kept(each, now)]
            may_begin = not kept and (suffices or not self._loading)
            if not may_begin and now >= give_up and (await self._excess(self._loading))[0] > 0:
                raise BudgetExceeded(name)
            if may_begin or now >= give_up:
                self._close([each for each in leaving if not each.users])
                return
            self._close([each for each in kept if _is_over(each, now)])
            ends = (end for each in kept if (end := _kept_until(each)) > now)
            with suppress(TimeoutError):
                until = min(ends, default=give_up)
                await asyncio.wait_for(self._reconsider.wait(), min(until, give_up) - now)

    async def _excess(self, needed: int) -> tuple[int, dict[str, int]]:
        return await self._budget.excess(self._models.loaded.values(), needed)

    async def _leaving(self, needed: int) -> tuple[list[LoadedModel[Any]], bool]:
        """The models that have to leave for ``needed`` bytes, whether requests use them or not, and
        whether they suffice."""
        excess, sizes = await self._excess(needed)
        if excess <= 0:
            return [], True
        models = self._models
        names = sizes.keys() & models.unloading
        unloading = [each for name, each in models.loaded.items() if name in names]
        excess -= sum(sizes[each.spec.name] for each in unloading)
        evicted = to_evict(models.evictable(sizes), sizes, excess, self._clock())
        suffices = sum(sizes[each.spec.name] for each in evicted) >= excess
        return unloading + evicted, suffices

    def _close(self, models: Collection[LoadedModel[Any]]) -> None:
        """Have further requests for these models wait, and no others."""
        closed = frozenset(each.spec.name for each in models)
        if self._closed - closed:
            self._reopened.set()
            self._reopened = asyncio.Event()
        self._closed = closed


def _turn_s(model: LoadedModel[Any]) -> float:
    return min(model.seconds, MAX_TURN_S)


def _is_over(model: LoadedModel[Any], now: float) -> bool:
    """Whether the model has had its turn."""
    had_its_time = now - model.loaded_at >= _turn_s(model)
    return had_its_time or model.requests >= MAX_TURN_REQUESTS


def _is_kept(model: LoadedModel[Any], now: float) -> bool:
    """Whether the model is in use, or may be again in its turn."""
    if model.users:
        return True
    return not _is_over(model, now) and now < _kept_until(model)


def _kept_until(model: LoadedModel[Any]) -> float:
    """When the model's turn ends, if no further request comes."""
    end = model.loaded_at + _turn_s(model)
    return end if model.users else min(end, model.last_used + IDLE_PART * _turn_s(model))
