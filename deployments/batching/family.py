"""What every family behind a lane shares: its models, admission to the lane, its live limits."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, Protocol, TypeVar

from pydantic import ValidationError
from ray import serve
from ray.serve.exceptions import RayServeException

from configs.engines import EngineName
from configs.errors import explain
from configs.profile import ModelSpec, UserConfig
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.device_failures import DeviceFailures
from deployments.batching.lane import Lane
from deployments.batching.scheduler import BatchLimits, QueuedRequest
from deployments.metrics import signals
from deployments.metrics.meter import Meter
from deployments.metrics.report import MetricSample
from deployments.models.cache import ModelCache
from deployments.models.config import FamilyConfig
from deployments.models.device import computes_in_half, pick_device
from deployments.models.errors import Overloaded
from deployments.models.lifecycle import Lifecycle
from deployments.models.memory import import_libraries
from deployments.models.thread_priority import give_way
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

ADMITTED_TOGETHER = 1024
"""Requests that ``@serve.batch`` hands over in one go; the model's batch is cut by the lane."""

T = TypeVar("T")
P = ParamSpec("P")


class Laned(Protocol):
    """A loaded model and the lane that leads to it."""

    lane: Lane[Any, Any]
    engine: EngineName

    def close(self) -> None: ...


M = TypeVar("M", bound=Laned)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    lane: Lane[Any, Any]
    items: list[Any]
    turn: QueuedRequest


class LaneFamily(Lifecycle[M], ABC, Generic[M]):
    """A deployment whose models answer in batches. A family says how a model is loaded.

    ``libraries`` are imported before a model is loaded: their memory is not the first model's.
    """

    libraries: tuple[str, ...] = ("transformers.modeling_utils",)
    volume_limit: ClassVar[str] = "max_batch_tokens"
    """The live limit that bounds the volume of a forward."""

    def __init__(self, config: FamilyConfig) -> None:
        self._config = config
        self._live = UserConfig(max_batch_size=config.settings.batch_size)
        self._limits = self._limits_of(self._live)
        self._refused: tuple[str, ...] = ()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._meter = Meter(config.ledger, self._gauges)
        self._device = DeviceFailures()
        self._begin(
            ModelCache(
                config.models, _Loader(self), self._meter.model, config.settings.max_memory_gb
            )
        )

    def _fetch(self, spec: ModelSpec) -> Path:
        """The folder of the model's files, downloaded where it is not here yet."""
        return self._config.folder(spec)

    def _prepare(self, spec: ModelSpec) -> None:
        """Import what opens the model before its memory is measured."""
        import_libraries(*self.libraries)

    @abstractmethod
    def _load(self, spec: ModelSpec) -> M:
        """The model, ready to answer, behind a lane that :meth:`_lane` made."""

    def reconfigure(self, live: Mapping[str, Any]) -> None:
        """The bounds of batches, changed on a running replica by Serve's ``user_config``.

        Wrong ones change nothing, and are told in the log and in the metrics: Serve stops a replica
        that raises here, and a family that answers is worth more than limits that are new.
        """
        try:
            changed = UserConfig.model_validate(live)
        except ValidationError as error:
            self._refuse(explain(error, "user_config", UserConfig))
            return
        self._refused = ()
        self._live = changed
        self._limits = self._limits_of(changed)
        for loaded in self._residency.loaded:
            loaded.model.lane.limits = self._limits
        admit: Any = self._admit  # Serve's decorator adds the method below
        admit.set_batch_wait_timeout_s(changed.batch_wait_timeout_s)

    def _refuse(self, problems: Sequence[str]) -> None:
        self._refused = tuple(problems)
        logger.error("%s keeps the limits that it has: %s", self._config.name, "; ".join(problems))

    def live_limits(self) -> LiveLimits:
        """The limits in force, without the one of a volume that is not counted here."""
        others = {"max_batch_tokens", "max_batch_pixels"} - {self.volume_limit}
        return LiveLimits(self._config.name, self._live.model_dump(exclude=others), self._refused)

    @staticmethod
    def _limits_of(live: UserConfig) -> BatchLimits:
        """What bounds a forward, counted in tokens."""
        seconds = live.max_forward_ms / 1000
        return BatchLimits(
            live.max_batch_size, live.max_batch_tokens, seconds, live.max_batches_waited
        )

    async def check_health(self) -> None:
        """Raises when a forward has been running for longer than any may, or a device is lost."""
        self._meter.start()
        self._device.check()
        for loaded in self._residency.loaded:
            loaded.model.lane.check(self._config.settings.stall_timeout_s)
        self._settle()
        self._fit_admission()

    def _fit_admission(self) -> None:
        """Hand over no more requests in one go than the replica lets in, which may have changed.

        Serve checks the health of a replica before the first request. It warns of a batch that
        cannot fill, as if somebody had configured this one.
        """
        lets_in = _max_ongoing_requests()
        if lets_in is not None:
            admit: Any = self._admit  # Serve's decorator adds the method below
            admit.set_max_batch_size(min(ADMITTED_TOGETHER, lets_in))

    def _lane(
        self,
        name: str,
        run: Callable[..., Sequence[Any]],
        size: Callable[[Any], int],
        kind: Callable[[Any], Hashable] = lambda item: None,
        at_once: int = 1,
        engine: EngineName = "torch",
        *,
        by_steps: bool = False,
    ) -> Lane[Any, Any]:
        """The lane to the model ``name``, within this family's limits; its batches are metered.

        ``by_steps`` is for models that write, token by token.
        """
        observe = partial(self._meter.forward, name)
        on_cpu = engine == "openvino" or pick_device(self._config) == "cpu"
        begin = give_way if on_cpu else None  # a GPU waits for the thread that feeds it
        return Lane(
            name,
            BatchedModel(run, size, kind, _nbytes, at_once, by_steps),
            self._limits,
            self._device,
            observe,
            initialize=begin,
            max_bytes=self._config.settings.max_waiting_bytes,
            timeout_s=self._config.settings.request_timeout_s,
        )

    async def _through(
        self,
        lane: Lane[Any, Any],
        parts: AsyncGenerator[Sequence[Any], None],
        most: int | None = None,
    ) -> list[Any]:
        """One answer an item, in order, to one request's items; they are queued as they come.

        At most ``most`` of them share a forward. A :class:`Problem` among them is its own answer.
        When the asker is cancelled, its items leave the queue. Raises :class:`Overloaded` where
        they do not fit beside what waits.
        """
        turn, answers = QueuedRequest(most), list[Any]()
        try:
            async with aclosing(parts):
                async for part in parts:
                    items = [item for item in part if not isinstance(item, Problem)]
                    admitted = await self._admit(BatchRequest(lane, items, turn)) if items else []
                    if admitted is None:
                        raise Overloaded(lane.name, "items")
                    futures = iter(admitted)
                    answers += [
                        each if isinstance(each, Problem) else next(futures) for each in part
                    ]
            return [each if isinstance(each, Problem) else await each for each in answers]
        finally:
            for each in answers:
                if not isinstance(each, Problem):
                    each.cancel()

    async def _in_thread(self, function: Callable[P, T], *given: P.args, **options: P.kwargs) -> T:
        """What comes before the model: off the event loop, and beside the model."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *given, **options))

    @serve.batch(max_batch_size=ADMITTED_TOGETHER, batch_wait_timeout_s=0.0)
    async def _admit(self, jobs: list[BatchRequest]) -> list[list[asyncio.Future[Any]] | None]:
        """Admission only: the futures come back at once, the batch is formed behind them.

        ``None`` where a job's items do not fit beside what waits.
        """
        return [
            job.lane.admit(job.items, job.turn) if job.lane.has_room_for(job.items) else None
            for job in jobs
        ]

    def _gauges(self) -> Iterator[MetricSample]:
        yield signals.LIMITS_REFUSED.of(self._config.name, amount=bool(self._refused))
        for loaded in self._residency.loaded:
            name = loaded.spec.name
            yield signals.MEMORY.of(name, amount=loaded.host_bytes)
            yield signals.WAITING.of(name, amount=loaded.model.lane.depth)


def _max_ongoing_requests() -> int | None:
    """How many requests Serve lets into this replica at a time; ``None`` outside Serve."""
    try:
        context: Any = serve.get_replica_context()
    except RayServeException:
        return None
    return int(context._deployment_config.max_ongoing_requests)  # where @serve.batch reads it too


def _nbytes(item: Any) -> int:
    """What an item takes while it waits, by its own account."""
    return int(getattr(item, "nbytes", 0))


class _Loader(Generic[M]):
    """How the model cache loads the models of a family."""

    def __init__(self, family: LaneFamily[M]) -> None:
        self._family = family

    def fetch(self, spec: ModelSpec) -> Path:
        return self._family._fetch(spec)

    def prepare(self, spec: ModelSpec) -> None:
        self._family._prepare(spec)

    def load(self, spec: ModelSpec) -> M:
        return self._family._load(spec)

    def unload(self, model: M) -> None:
        model.close()

    def is_dead(self, model: M) -> bool:
        return False  # a model that fails is told by its lane's check

    def process_id(self, model: M) -> int | None:
        return None

    def engine_name(self, spec: ModelSpec, model: M) -> str:
        return model.engine

    def computes_in_half(self, spec: ModelSpec) -> bool:
        return computes_in_half(self._family._config, spec)
