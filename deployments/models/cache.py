"""The model cache of a replica: which models are loaded, in use, pinned or evicted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Generic, TypeVar

from configs.profile import ModelSpec
from deployments.metrics.meter import ModelEvent
from deployments.models.backoff import Backoff, LoadFailures
from deployments.models.budgeted_load import BudgetedLoad
from deployments.models.cached_models import CachedModels
from deployments.models.crashes import MAX_LOADS, REASON
from deployments.models.dead_models import DeadModels
from deployments.models.downloads import Downloads
from deployments.models.errors import BudgetExceeded, ModelUnavailable, StillInUseError
from deployments.models.eviction import Eviction
from deployments.models.late_eviction import LateEviction
from deployments.models.load_thread import LoadThread
from deployments.models.loaded_model import LoadedModel
from deployments.models.loader import ModelLoader
from deployments.models.memory_budget import MemoryBudget
from deployments.models.model_specs import ModelSpecs
from deployments.models.shared_tasks import SharedTasks
from deployments.models.turns import Turns
from deployments.seam.replicas import ModelStatus, Stage

M = TypeVar("M")

UNLOADED = "an order to unload it came meanwhile"


class ModelCache(Generic[M]):
    """The models of one replica, loaded by name and evicted by :mod:`~.eviction_order`.

    ``budget_gb`` bounds the measured memory of all loaded models, with full KV caches. Models that
    are pinned by the profile or were loaded by an order are not evicted, nor is a model while a
    request uses it. Models that do not fit together are served in :mod:`~.turns`; one of them may
    exceed the budget where requests run on for long, or takes more than its files showed. A model
    that does not fit beside the pinned ones is refused, before it is loaded if the size of its
    files or its last load shows it.

    One model loads at a time, and requests for loaded models go on meanwhile. Files of several
    models download at the same time. A model is never loaded and unloaded at the same time.

    A model that died is not loaded: the next request or :meth:`reload_dead` loads it again, at
    once when it died for the first time.

    ``record`` is called with each request that finds or misses its model, each load, each unload.
    ``clock`` counts seconds.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec] | ModelSpecs,
        loader: ModelLoader[M],
        record: Callable[[ModelEvent, str], None],
        budget_gb: float | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.specs = specs if isinstance(specs, ModelSpecs) else ModelSpecs(specs)
        of_profile = self.specs.profile.values()
        self._record = record
        self._budget = MemoryBudget(budget_gb)
        self._downloads = Downloads(loader, len(of_profile))
        self._thread = LoadThread(loader, record, clock)
        self._backoff = backoff or Backoff()
        self._loaded: dict[str, LoadedModel[M]] = {}
        self.failures = LoadFailures(self._backoff, self._loaded)
        self._pinned = {spec.name for spec in of_profile if spec.pinned}
        self._stages: dict[str, Stage] = {}
        self._changing = asyncio.Lock()  # held while a model is loaded or evicted
        self._loads = SharedTasks[None](lambda name: self._stages.get(name) != "loading")
        self._orders = SharedTasks[None]()
        self._unloads = SharedTasks[int]()
        models = CachedModels(self._loaded, self._pinned, self._unloads.names)
        self._dead = DeadModels(models, loader, self._thread, self._backoff, self._in_background)
        self._eviction = Eviction(models, self._budget, self._thread, clock)
        self._budgeted = BudgetedLoad(models, self._budget, self._eviction, self._thread, clock)
        self._turns = Turns(models, self._budget, clock)
        self._late_eviction = LateEviction(self._eviction, self._turns, self._changing, clock)
        self._background: set[asyncio.Task[object]] = set()

    @property
    def loaded(self) -> list[LoadedModel[M]]:
        return list(self._loaded.values())

    @property
    def stages(self) -> dict[str, Stage]:
        """The stage of every model that is loaded or on its way."""
        here = self._loaded.keys() | self._stages.keys()
        return {name: self._stages.get(name, "warm") for name in here}

    def is_pinned(self, name: str) -> bool:
        """Whether ``name`` stays loaded until an order unloads it."""
        return name in self._pinned

    def statuses(self) -> tuple[ModelStatus, ...]:
        """Every model that is loaded or on its way, with the bytes that it takes now.

        May be called from any thread, and should not be from the event loop: counting the bytes of
        another process takes milliseconds.
        """
        loaded, stages = self._loaded.copy(), self._stages.copy()
        here = (model.status(stages.get(name, "warm")) for name, model in loaded.items())
        coming = (
            ModelStatus(name, stage, progress=self._budgeted.progress(name))
            for name, stage in stages.items()
            if name not in loaded
        )
        return (*here, *coming)

    async def load_pinned(self, leave_out: Collection[str] = ()) -> None:
        """Load every pinned model. Raises what loading raises: the replica fails.

        Models in ``leave_out`` were unloaded by an order: they load when a request needs them.
        """
        self._pinned.difference_update(leave_out)
        for name, spec in self.specs.profile.items():
            if name in self._pinned and name not in self._loaded:
                await self._loads.wait(self._loads.start(name, partial(self._load_pinned, spec)))

    async def _load_pinned(self, spec: ModelSpec) -> None:
        """Load a model that has to be loaded, whatever the budget says."""
        self._stages[spec.name] = "fetching"
        try:
            await self._downloads.now(spec)
            async with self._changing:
                self._stages[spec.name] = "loading"
                self._loaded[spec.name] = await self._thread.load_now(spec)
        finally:
            del self._stages[spec.name]

    @asynccontextmanager
    async def use(self, name: str, *, admitted: bool = False) -> AsyncIterator[M]:
        """The model ``name``, loaded if need be, and not evicted while the block runs.

        While the model is being unloaded this waits, then loads it again. Raises
        :class:`ModelUnavailable` when it cannot be loaded; a later request tries again.

        ``admitted`` is for a part of a request which uses the model as a whole: it does not count
        as one, nor wait for a turn of the model.
        """
        loaded = self._in_use(name) if admitted else None
        if loaded is None:
            self._record("hit" if name in self._loaded else "miss", name)
            loaded = await self._get(name, loads=MAX_LOADS)
            loaded.requests += 1
        try:
            with loaded.in_use():
                yield loaded.model
        finally:
            if loaded.users == 0:
                self._turns.reconsider()
                self._late_eviction.start()

    def _in_use(self, name: str) -> LoadedModel[M] | None:
        """The model, if it lives and requests use it: it is not unloaded before they end."""
        loaded = self._loaded.get(name)
        if loaded is None or not loaded.users or self._dead.remove(loaded):
            return None
        return loaded

    async def load(self, name: str, *, even_if_failed: bool = True) -> None:
        """Load ``name`` by order and pin it, also when the caller is cancelled meanwhile.

        With ``even_if_failed`` it is tried at once, although it failed to load a moment ago.
        """
        order = self._orders.start(name, partial(self._load_by_order, name, even_if_failed))
        await self._orders.wait(order)
        if order.cancelled():
            raise ModelUnavailable(name, UNLOADED)

    async def _load_by_order(self, name: str, even_if_failed: bool) -> None:
        await self._get(name, even_if_failed=even_if_failed, out_of_turn=True)
        self._pinned.add(name)
        self._turns.reconsider()

    async def unload(self, name: str, within_s: float) -> int:
        """Unload ``name`` by order once no request uses it; by how many bytes memory fell.

        0 when it was not loaded. If its files are still downloading, it is not loaded after that,
        and requests that wait for it fail with that reason. Raises :class:`StillInUseError` when
        requests have not ended in time: the model then stays as it was.
        """
        self._orders.cancel(name)
        task = self._unloads.start(name, partial(self._unload_when_idle, name, within_s))
        task.add_done_callback(lambda _: self._turns.reconsider())
        return await asyncio.shield(task)

    def reload_dead(self) -> None:
        """Load pinned models again that died, in the background.

        Raises :class:`~.crashes.ModelLost` when one died, or failed to load after that, too often.
        """
        for name in self._dead.to_reload():
            if self._loads.get(name) is None:
                self._in_background(self._reload(name))

    async def _reload(self, name: str) -> None:
        with suppress(ModelUnavailable):  # the reason is in the log
            await self._get(name)

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _get(
        self, name: str, *, even_if_failed: bool = False, out_of_turn: bool = False, loads: int = 1
    ) -> LoadedModel[M]:
        """The model ``name``, loaded and alive. Raises :class:`ModelUnavailable`."""
        while True:
            spec = await self.specs.find(name)
            if (unload := self._unloads.get(name)) is not None:
                await asyncio.wait({unload})
            elif (loaded := self._loaded.get(name)) is not None:
                if self._dead.remove(loaded):
                    if not loads:
                        raise ModelUnavailable(name, REASON)
                elif out_of_turn or self._turns.admits(name):
                    return loaded
                else:
                    await self._turns.wait_until_reopened()
            else:
                await self._wait_for_load(spec, even_if_failed=even_if_failed)
                loads -= 1

    async def _wait_for_load(self, spec: ModelSpec, *, even_if_failed: bool) -> None:
        """Wait for the one load of ``spec``. Once nobody does, it ends unless it has begun.
        A download goes on."""
        name = spec.name
        if self._loads.get(name) is None and not even_if_failed:
            await self._backoff.rest_after(REASON, name)
            if (reason := self._backoff.reason(name)) is not None:
                raise ModelUnavailable(name, reason)
        task = self._loads.get(name) or self._loads.start(name, partial(self._load, spec))
        await self._loads.wait(task)

    async def _load(self, spec: ModelSpec) -> None:
        self._stages[spec.name] = "fetching"
        try:
            min_bytes = await self._downloads.min_bytes(spec)
            # Else the others would leave in vain.
            await self._budgeted.check_fit(spec, self._budgeted.known_bytes(spec, min_bytes))
            needed = self._budgeted.needed(spec, min_bytes)
            self._stages[spec.name] = "waiting"
            async with self._turns.turn(spec.name, needed), self._changing:
                self._stages[spec.name] = "loading"
                loaded = await self._budgeted.load(spec, min_bytes)
                self._backoff.forget(spec.name)
                self._loaded[spec.name] = loaded
                if not await self._eviction.make_room(keep=[spec.name]):
                    self._late_eviction.exceeded()
        except asyncio.CancelledError:
            if spec.name not in self._unloads.names:
                raise
            raise ModelUnavailable(spec.name, UNLOADED) from None
        except ModelUnavailable as error:
            if not isinstance(error, BudgetExceeded):  # it may be over at the next request
                self._backoff.failed(spec.name, error.reason)
            self._record("load_failure", spec.name)
            raise
        finally:
            self._stages.pop(spec.name, None)

    async def _unload_when_idle(self, name: str, within_s: float) -> int:
        if (load := self._loads.get(name)) is not None:
            if self._stages.get(name) in ("fetching", "waiting"):
                load.cancel()
            await asyncio.wait({load})
        if (loaded := self._loaded.get(name)) is None:
            self._forget_order(name)
            return 0
        self._stages[name] = "leaving"
        try:
            async with asyncio.timeout(within_s):
                if loaded.users:
                    await loaded.idle.wait()
        except TimeoutError:
            raise StillInUseError from None
        else:
            self._forget_order(name)
            async with self._changing:
                loaded = self._loaded.pop(name, None)
                return 0 if loaded is None else await self._thread.unload(loaded)
        finally:
            del self._stages[name]

    def _forget_order(self, name: str) -> None:
        self._pinned.discard(name)
        self._dead.forget(name)
