"""Which models are in memory: pinned ones from the start, others from their first request on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from configs.profile import ModelSpec
from deployments.metrics.meter import ModelEvent
from deployments.models.backoff import Backoff
from deployments.models.crashes import MAX_ATTEMPTS, REASON, CrashCounter, ModelLost
from deployments.models.downloads import Downloads, finished
from deployments.models.errors import ModelUnavailable
from deployments.models.load_attempt import attempt
from deployments.models.loaded_model import LoadedModel
from deployments.models.memory import give_back, memory_use
from deployments.models.memory_budget import GIB, MemoryBudget, least_recently_used
from deployments.seam.replicas import ModelStatus, Stage

logger = logging.getLogger(__name__)

M = TypeVar("M")


class StillInUseError(Exception):
    """Requests went on running on a model for longer than its unloading might wait."""


class ModelCache(Generic[M]):
    """The models of one replica, loaded by name, evicted least recently used first by bytes.

    ``budget_gb`` bounds what this replica's models take together, measured. Pinned models and those
    loaded by order are kept; the others go, but never while a request runs on one: until it ends
    the budget may be passed. A model that would not fit beside what is kept is refused, before it
    is loaded when its files tell. One model loads at a time, in a thread of its own, while requests
    for the others go on; files are fetched beside that, and hold up only who waits for them.
    Loading and unloading of one model never overlap.

    A model that is ``dead`` is not loaded: the next request, or :meth:`revive`, loads it again, at
    once when it died for the first time.

    ``load`` makes a model and ``unload`` ends it. ``fetch`` downloads its files, from whose size it
    is known what loading takes; ``prepare`` imports what loading needs, whose memory is not the
    model's. ``process`` tells which process a model has of its own, if any, ``engine`` what runs it
    where the profile leaves that open, and ``halves`` whether it computes in half precision.
    ``notice`` is told of each request that finds or misses its model, and of each load and unload.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        load: Callable[[ModelSpec], M],
        unload: Callable[[M], None],
        budget_gb: float | None = None,
        notice: Callable[[ModelEvent, str], None] = lambda event, name: None,
        *,
        fetch: Callable[[ModelSpec], Path] | None = None,
        prepare: Callable[[ModelSpec], None] = lambda _: None,
        process: Callable[[M], int | None] = lambda _: None,
        engine: Callable[[M], str] = lambda _: "",
        dead: Callable[[M], bool] = lambda _: False,
        backoff: Backoff | None = None,
        halves: Callable[[ModelSpec], bool] = lambda spec: spec.dtype not in ("auto", "float32"),
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._load = load
        self._unload = unload
        self._notice = notice
        self._budget = MemoryBudget(budget_gb)
        self._fetching = None if fetch is None else Downloads(fetch, len(specs), halves)
        self._prepare = prepare
        self._process = process
        self._engine = engine
        self._backoff = backoff or Backoff()
        self._dead = dead
        self._deaths = CrashCounter()
        self._residents: dict[str, LoadedModel[M]] = {}
        self._kept = {spec.name for spec in specs if spec.pinned}
        self._stages: dict[str, Stage] = {}
        self._loading = asyncio.Lock()
        self._admissions: dict[str, asyncio.Task[None]] = {}
        self._departures: dict[str, asyncio.Task[int]] = {}
        self._chores: set[asyncio.Task[Any]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def residents(self) -> list[LoadedModel[M]]:
        return list(self._residents.values())

    @property
    def names(self) -> Collection[str]:
        """Every model that may be loaded here."""
        return self._specs.keys()

    def is_kept(self, name: str) -> bool:
        """Whether ``name`` stays until an order unloads it."""
        return name in self._kept

    def holdings(self) -> tuple[ModelStatus, ...]:
        """Every model that is in memory or on its way, with its bytes as they are now.

        From any thread: counting the bytes of another process takes a moment.
        """
        residents, stages = self._residents.copy(), self._stages.copy()
        warm = (
            ModelStatus(
                name, stages.get(name, "warm"), r.host_bytes, r.gpu_bytes, r.seconds, r.engine
            )
            for name, r in residents.items()
        )
        coming = (ModelStatus(n, stage) for n, stage in stages.items() if n not in residents)
        return (*warm, *coming)

    def pin(self, leave: Collection[str] = ()) -> None:
        """Load every pinned model, here and now. What cannot be loaded fails the replica.

        Those in ``leave`` were unloaded by order: they load when a request asks for them.
        """
        self._kept -= set(leave)
        for name, spec in self._specs.items():
            if name in self._kept:
                if self._fetching is not None:
                    self._fetching.now(spec)
                self._prepare(spec)
                self._residents[name] = self._measured(spec)

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[M]:
        """The model ``name``, kept in memory for as long as the block runs.

        A model that is being unloaded is waited for, and loaded again. Raises
        :class:`ModelUnavailable` when it cannot be loaded; a later request tries again.
        """
        self._notice("hit" if name in self._residents else "miss", name)
        resident = await self._present(name)
        resident.users += 1
        resident.idle.clear()
        try:
            yield resident.model
        finally:
            resident.users -= 1
            resident.last_used = time.monotonic()
            if resident.users == 0:
                resident.idle.set()
                self._tidy()

    async def load(self, name: str, *, insist: bool = True) -> None:
        """Load ``name`` by order: to stay until unloaded, and at once, whatever failed before.

        Without ``insist`` a model that failed a moment ago fails again, untried.
        """
        await self._present(name, insist=insist)
        self._kept.add(name)

    async def unload(self, name: str, within_s: float) -> int:
        """Unload ``name`` by order, when the requests on it have ended; the bytes that came back.

        0 when it was not loaded. One whose files are still being fetched is not loaded when they
        have come, and who waits for it is told so. Raises :class:`StillInUseError` when requests
        have not ended in time: then it stays as it was.
        """
        departure = self._departures.get(name)
        if departure is None:
            departure = asyncio.get_running_loop().create_task(self._depart(name, within_s))
            departure.add_done_callback(partial(finished, self._departures, name))
            self._departures[name] = departure
        return await asyncio.shield(departure)

    def revive(self) -> None:
        """Load again in the background what died, of the models that are kept.

        Raises :class:`ModelLost` when one of them died, or failed to load after that, too often.
        """
        for resident in self.residents:
            if self._dead(resident.model):
                self._bury(resident)
        self._deaths.missing -= self._residents.keys()
        for name in (self._deaths.missing & self._kept) - self._departures.keys():
            if max(self._deaths.times(name), self._backoff.times(name) + 1) >= MAX_ATTEMPTS:
                raise ModelLost(name)
            if name not in self._admissions and self._backoff.reason(name) is None:
                self._in_background(self._revived(name))

    async def _revived(self, name: str) -> None:
        with suppress(ModelUnavailable):  # the reason is in the log
            await self._present(name)

    def _bury(self, resident: LoadedModel[M]) -> None:
        """Take a dead model for one that is not loaded; what is left of it ends behind that."""
        name = resident.spec.name
        del self._residents[name]
        times = self._deaths.died(name)
        logger.error("%s died, for the %d. time lately", name, times)
        if times > 1:
            self._backoff.failed(name, REASON, times - 1)
        self._in_background(self._end(resident))

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        chore = asyncio.get_running_loop().create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _present(self, name: str, *, insist: bool = False) -> LoadedModel[M]:
        loaded = False
        while True:
            if (departure := self._departures.get(name)) is not None:
                await asyncio.wait({departure})
            elif (resident := self._residents.get(name)) is not None:
                if not self._dead(resident.model):
                    return resident
                self._bury(resident)
                if loaded:
                    raise ModelUnavailable(name, REASON)
            else:
                await self._admitted(name, insist=insist)
                loaded = True

    async def _admitted(self, name: str, *, insist: bool) -> None:
        """Wait for the one load of ``name``, which goes on when a request that waits is gone."""
        admission = self._admissions.get(name)
        if admission is None:
            reason = None if insist else self._backoff.reason(name)
            if reason is not None:
                raise ModelUnavailable(name, reason)
            admission = asyncio.get_running_loop().create_task(self._admit(self._specs[name]))
            admission.add_done_callback(partial(finished, self._admissions, name))
            self._admissions[name] = admission
        await asyncio.wait({admission})
        if admission.cancelled():
            raise ModelUnavailable(name, "an order unloaded it while its files were fetched")
        admission.result()

    async def _admit(self, spec: ModelSpec) -> None:
        self._stages[spec.name] = "fetching"
        try:
            fetching = self._fetching
            least = 0 if fetching is None else await fetching.least_bytes(spec)
            async with self._loading:
                self._stages[spec.name] = "loading"
                resident = await self._arrival(spec, least)
                self._backoff.forget(spec.name)
                resident.last_used = time.monotonic()
                self._residents[spec.name] = resident
                await self._make_room(0, keep=spec.name)
        except ModelUnavailable as error:
            self._backoff.failed(spec.name, error.reason)
            self._notice("load_failure", spec.name)
            raise
        finally:
            self._stages.pop(spec.name, None)

    async def _arrival(self, spec: ModelSpec, least: int) -> LoadedModel[M]:
        self._budget.must_fit(spec, least, self._staying)
        await self._make_room(least, keep=spec.name)
        await attempt(self._thread, spec, self._prepare)
        resident = await attempt(self._thread, spec, self._measured)
        try:
            takes = resident.host_bytes + resident.gpu_bytes
            self._budget.must_fit(spec, takes, self._staying)
        except ModelUnavailable:
            await self._end(resident)
            raise
        return resident

    async def _depart(self, name: str, within_s: float) -> int:
        if (admission := self._admissions.get(name)) is not None:
            if self._stages.get(name) == "fetching":
                admission.cancel()
            await asyncio.wait({admission})
        resident = self._residents.get(name)
        if resident is None:
            self._kept.discard(name)
            self._deaths.missing.discard(name)
            return 0
        self._stages[name] = "leaving"
        try:
            async with asyncio.timeout(within_s):
                if resident.users:
                    await resident.idle.wait()
        except TimeoutError:
            raise StillInUseError from None
        else:
            self._kept.discard(name)
            self._deaths.missing.discard(name)
            async with self._loading:
                return await self._end(self._residents.pop(name, None))
        finally:
            del self._stages[name]

    def _tidy(self) -> None:
        """Evict what the budget asked for while it was in use."""
        if not self._budget.is_passed(self.residents):
            return
        self._in_background(self._make_room_later())

    async def _make_room_later(self) -> None:
        async with self._loading:
            await self._make_room(0)

    async def _make_room(self, needed: int, keep: str | None = None) -> None:
        """Evict until ``needed`` more bytes fit, or nothing is left that may go."""
        while self._budget.is_passed(self.residents, needed):
            # Asked anew each time: a request may have come while another model unloaded.
            staying = {*self._kept, *self._departures, keep}
            oldest = least_recently_used(self.residents, staying)
            if oldest is None:
                return
            logger.info("evicting %s", oldest.spec.name)
            await self._end(self._residents.pop(oldest.spec.name))

    @property
    def _staying(self) -> list[LoadedModel[M]]:
        return [resident for resident in self.residents if resident.spec.name in self._kept]

    async def _end(self, resident: LoadedModel[M] | None) -> int:
        """Unload a model that no request is on; how many bytes came back."""
        if resident is None:
            return 0
        elsewhere = resident.host_bytes - resident.taken.host
        model = resident.model
        del resident.model  # whoever still holds the entry must not hold the model
        before, loop = memory_use(), asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._unload, model)
        del model
        await loop.run_in_executor(self._thread, give_back)
        freed = before - memory_use()
        self._notice("unload", resident.spec.name)
        return elsewhere + freed.host + freed.gpu

    def _measured(self, spec: ModelSpec) -> LoadedModel[M]:
        give_back()
        before, started = memory_use(), time.monotonic()
        model = self._load(spec)
        give_back()
        taken, seconds = memory_use() - before, time.monotonic() - started
        process, engine = self._process(model), self._engine(model) or spec.engines[0]
        resident = LoadedModel(spec, model, taken, seconds, process, engine)
        self._notice("load", spec.name)
        logger.info("loaded %s in %.1f s, %.2f GiB", spec.name, seconds, resident.host_bytes / GIB)
        return resident
