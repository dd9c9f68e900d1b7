"""Which models are in memory: pinned ones from the start, others from their first request on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Any, Generic, ParamSpec, TypeVar

from configs.profile import ModelSpec
from deployments.backoff import Backoff
from deployments.base import ModelUnavailable
from deployments.deaths import MAX_ATTEMPTS, REASON, Deaths, ModelLost
from deployments.memory import Footprint, footprint, give_back, process_bytes
from deployments.metrics.meter import ModelEvent
from deployments.reasons import reason_of
from deployments.seam import Holding, Stage

logger = logging.getLogger(__name__)

GIB = 1024**3
M = TypeVar("M")
T = TypeVar("T")
P = ParamSpec("P")

SHRINKS = {"none": 1.0, "int8": 0.25, "nf4": 0.125}
"""The least of a float32 checkpoint's size that is left in memory, by quantisation."""


class StillInUseError(Exception):
    """Requests went on running on a model for longer than its unloading might wait."""


@dataclass(slots=True)
class Resident(Generic[M]):
    """One loaded model, what loading it took of this process, and how many requests are on it.

    ``process`` is the id of a process that the model has for itself, ``engine`` what runs it.
    """

    spec: ModelSpec
    model: M
    taken: Footprint
    seconds: float = 0.0
    process: int | None = None
    engine: str = ""
    users: int = 0
    last_used: float = 0.0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def host_bytes(self) -> int:
        """As it is now: a process of the model's own grows and shrinks with what it does."""
        own = 0 if self.process is None else process_bytes(self.process)
        return self.taken.host + own

    @property
    def gpu_bytes(self) -> int:
        return self.taken.gpu


class Residency(Generic[M]):
    """The models of one replica, loaded by name, evicted least recently used first by bytes.

    ``budget_gb`` bounds what this replica's models take together, measured. Pinned models and those
    loaded by order are kept; the others go, but never while a request runs on one: until it ends
    the budget may be passed. A model that would not fit beside what is kept is refused, before it
    is loaded when its files tell. One model loads at a time, in a thread of its own, while requests
    for the others go on. Loading and unloading of one model never overlap.

    A model that is ``dead`` is not loaded: the next request, or :meth:`revive`, loads it again, at
    once when it died for the first time.

    ``load`` makes a model and ``unload`` ends it. ``fetch`` has its files at hand, for it is told
    apart from loading and their size is known before; ``process`` tells which process a model has
    of its own, if any, and ``engine`` what runs it where the profile leaves that open. ``notice``
    is told of each request that finds or misses its model, and of each load and unload.
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
        process: Callable[[M], int | None] = lambda _: None,
        engine: Callable[[M], str] = lambda _: "",
        dead: Callable[[M], bool] = lambda _: False,
        backoff: Backoff | None = None,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._load = load
        self._unload = unload
        self._notice = notice
        self._budget = None if budget_gb is None else int(budget_gb * GIB)
        self._fetch = fetch
        self._process = process
        self._engine = engine
        self._backoff = backoff or Backoff()
        self._dead = dead
        self._deaths = Deaths()
        self._residents: dict[str, Resident[M]] = {}
        self._kept = {spec.name for spec in specs if spec.pinned}
        self._stages: dict[str, Stage] = {}
        self._loading = asyncio.Lock()
        self._admissions: dict[str, asyncio.Task[None]] = {}
        self._departures: dict[str, asyncio.Task[int]] = {}
        self._chores: set[asyncio.Task[Any]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    @property
    def residents(self) -> list[Resident[M]]:
        return list(self._residents.values())

    @property
    def names(self) -> Collection[str]:
        """Every model that may be loaded here."""
        return self._specs.keys()

    def is_kept(self, name: str) -> bool:
        """Whether ``name`` stays until an order unloads it."""
        return name in self._kept

    def holdings(self) -> tuple[Holding, ...]:
        """Every model that is in memory or on its way, with its bytes as they are now.

        From any thread: counting the bytes of another process takes a moment.
        """
        residents, stages = self._residents.copy(), self._stages.copy()
        warm = (
            Holding(name, stages.get(name, "warm"), r.host_bytes, r.gpu_bytes, r.seconds, r.engine)
            for name, r in residents.items()
        )
        coming = (Holding(n, stage) for n, stage in stages.items() if n not in residents)
        return (*warm, *coming)

    def pin(self, leave: Collection[str] = ()) -> None:
        """Load every pinned model, here and now. What cannot be loaded fails the replica.

        Those in ``leave`` were unloaded by order: they load when a request asks for them.
        """
        self._kept -= set(leave)
        for name, spec in self._specs.items():
            if name in self._kept:
                if self._fetch is not None:
                    self._fetch(spec)
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

        0 when it was not loaded. Raises :class:`StillInUseError` when they have not ended in time:
        then it stays as it was.
        """
        departure = self._departures.get(name)
        if departure is None:
            departure = asyncio.get_running_loop().create_task(self._depart(name, within_s))
            departure.add_done_callback(partial(_finished, self._departures, name))
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
        for name in self._deaths.missing & self._kept:
            if max(self._deaths.times(name), self._backoff.times(name) + 1) >= MAX_ATTEMPTS:
                raise ModelLost(name)
            if name not in self._admissions and self._backoff.reason(name) is None:
                self._in_background(self._revived(name))

    async def _revived(self, name: str) -> None:
        with suppress(ModelUnavailable):  # the reason is in the log
            await self._present(name)

    def _bury(self, resident: Resident[M]) -> None:
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

    async def _present(self, name: str, *, insist: bool = False) -> Resident[M]:
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
            admission.add_done_callback(partial(_finished, self._admissions, name))
            self._admissions[name] = admission
        await asyncio.shield(admission)

    async def _admit(self, spec: ModelSpec) -> None:
        async with self._loading:
            try:
                resident = await self._arrival(spec)
            except ModelUnavailable as error:
                self._backoff.failed(spec.name, error.reason)
                self._notice("load_failure", spec.name)
                raise
            finally:
                self._stages.pop(spec.name, None)
            self._backoff.forget(spec.name)
            resident.last_used = time.monotonic()
            self._residents[spec.name] = resident
            await self._make_room(0, keep=spec.name)

    async def _arrival(self, spec: ModelSpec) -> Resident[M]:
        self._stages[spec.name] = "fetching"
        least = await self._attempt(spec, self._least_bytes)
        self._must_fit(spec, least)
        await self._make_room(least, keep=spec.name)
        self._stages[spec.name] = "loading"
        resident = await self._attempt(spec, self._measured)
        try:
            self._must_fit(spec, resident.host_bytes + resident.gpu_bytes)
        except ModelUnavailable:
            await self._end(resident)
            raise
        return resident

    async def _depart(self, name: str, within_s: float) -> int:
        if (admission := self._admissions.get(name)) is not None:
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
            async with self._loading:
                return await self._end(self._residents.pop(name, None))
        finally:
            del self._stages[name]

    def _tidy(self) -> None:
        """Evict what the budget asked for while it was in use."""
        if self._budget is None or self._held() <= self._budget:
            return
        chore = asyncio.get_running_loop().create_task(self._make_room_later())
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _make_room_later(self) -> None:
        async with self._loading:
            await self._make_room(0)

    async def _make_room(self, needed: int, keep: str | None = None) -> None:
        """Evict until ``needed`` more bytes fit, or nothing is left that may go."""
        while self._budget is not None and self._held() + needed > self._budget:
            idle = self._evictable(keep)  # asked anew: a request may have come while one unloaded
            if not idle:
                return
            logger.info("evicting %s", idle[0].spec.name)
            await self._end(self._residents.pop(idle.pop(0).spec.name))

    def _evictable(self, keep: str | None) -> list[Resident[M]]:
        staying = {*self._kept, *self._departures, keep}
        idle = [r for r in self.residents if not (r.users or r.spec.name in staying)]
        return sorted(idle, key=lambda resident: resident.last_used)

    def _must_fit(self, spec: ModelSpec, needed: int) -> None:
        """Raises :class:`ModelUnavailable` when ``needed`` bytes never fit beside what is kept."""
        if self._budget is None:
            return
        kept = sum(
            r.host_bytes + r.gpu_bytes
            for r in self.residents
            if r.spec.name in self._kept and r.spec.name != spec.name
        )
        if needed + kept > self._budget:
            room = max(0, self._budget - kept) / GIB
            takes = f"it takes {needed / GIB:.2f} GiB"
            reason = f"{takes}, and the models that stay leave {room:.2f} GiB for others"
            raise ModelUnavailable(spec.name, reason)

    def _held(self) -> int:
        return sum(r.host_bytes + r.gpu_bytes for r in self.residents)

    async def _end(self, resident: Resident[M] | None) -> int:
        """Unload a model that no request is on; how many bytes came back."""
        if resident is None:
            return 0
        elsewhere = resident.host_bytes - resident.taken.host
        model = resident.model
        del resident.model  # whoever still holds the entry must not hold the model
        before = footprint()
        await self._in_thread(self._unload, model)
        del model
        await self._in_thread(give_back)
        freed = before - footprint()
        self._notice("unload", resident.spec.name)
        return elsewhere + freed.host + freed.gpu

    async def _attempt(self, spec: ModelSpec, step: Callable[[ModelSpec], T]) -> T:
        """``step``, in the loading thread; its failure as one for clients, its memory given back.

        The failure itself is dropped: its traceback would keep what was half loaded.
        """
        reason = None
        try:
            return await self._in_thread(step, spec)
        except Exception as error:  # noqa: BLE001  the edge: libraries raise anything here
            # As text: a log that keeps records for a while would keep the traceback's tensors.
            trace = "".join(format_exception(error))
            logger.error("loading %s failed\n%s", spec.name, trace)  # noqa: TRY400
            reason = reason_of(error)
        await self._in_thread(give_back)
        raise ModelUnavailable(spec.name, reason)

    async def _in_thread(self, function: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *given, **more))

    def _least_bytes(self, spec: ModelSpec) -> int:
        """What the weights take at the very least; 0 when that cannot be told before loading."""
        if self._fetch is None:
            return 0
        files = [file for file in self._fetch(spec).rglob("*") if file.suffix in WEIGHT_FILES]
        narrow = 1.0 if "openvino" in spec.engines or spec.dtype in ("auto", "float32") else 0.5
        shrink = min(narrow, SHRINKS[spec.quantization])
        return int(sum(file.stat().st_size for file in files) * shrink)

    def _measured(self, spec: ModelSpec) -> Resident[M]:
        give_back()
        before, started = footprint(), time.monotonic()
        model = self._load(spec)
        give_back()
        taken, seconds = footprint() - before, time.monotonic() - started
        process, engine = self._process(model), self._engine(model) or spec.engines[0]
        resident = Resident(spec, model, taken, seconds, process, engine)
        self._notice("load", spec.name)
        logger.info("loaded %s in %.1f s, %.2f GiB", spec.name, seconds, resident.host_bytes / GIB)
        return resident


WEIGHT_FILES = frozenset({".safetensors", ".gguf", ".bin"})


def _finished(tasks: dict[str, asyncio.Task[Any]], name: str, task: asyncio.Task[Any]) -> None:
    """Forget a task that ended; its failure was told to those who waited, if any are left."""
    tasks.pop(name)
    if not task.cancelled():
        task.exception()
