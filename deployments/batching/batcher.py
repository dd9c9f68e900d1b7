"""The batcher of a replica: admits requests to its models' lanes, within limits that may change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar
from weakref import WeakSet

from pydantic import ValidationError
from ray import serve

from configs.engines import EngineName
from configs.errors import explain
from configs.profile import UserConfig
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.device_failures import DeviceFailures
from deployments.batching.joint_preparation import JointPreparation, RequestItems, Unprepared
from deployments.batching.lane import Lane
from deployments.batching.scheduler import BatchLimits, QueuedRequest
from deployments.metrics import signals
from deployments.metrics.binding_limit import Limit
from deployments.metrics.meter import Meter
from deployments.metrics.report import MetricSample
from deployments.metrics.stage_recorder import recorder_here
from deployments.models.call_receiver import owner_here
from deployments.models.config import FamilyConfig
from deployments.models.device import pick_device
from deployments.models.errors import Overloaded
from deployments.models.ongoing_requests import max_ongoing_requests
from deployments.models.thread_priority import lower_thread_priority
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

MAX_ADMITTED = 1024
"""Requests that ``@serve.batch`` admits in one go; the model's batches are formed by its lane."""

VolumeLimit = Literal["max_batch_tokens", "max_batch_pixels"]

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
T = TypeVar("T")
P = ParamSpec("P")


class Batcher:
    """Shared by all batched models of a replica: limits, device state, preprocessing thread.

    Requests are admitted by ``@serve.batch`` and queued in the lane of their model, which forms the
    batches. ``volume_limit`` names the limit for the volume of a batch, in tokens or pixels. The
    metrics of every batch go to ``meter``.
    """

    def __init__(
        self, config: FamilyConfig, meter: Meter, volume_limit: VolumeLimit = "max_batch_tokens"
    ) -> None:
        self._config = config
        self.meter = meter
        self._volume_limit = volume_limit
        self._limits = UserConfig(max_batch_size=config.settings.batch_size)
        self._refused: tuple[str, ...] = ()
        self._lanes: WeakSet[Lane[Any, Any]] = WeakSet()
        self._device = DeviceFailures()
        self._thread = ThreadPoolExecutor(1, "preprocess", initializer=lower_thread_priority)
        self._preparation = JointPreparation(self._in_thread, meter.preprocessing)
        meter.register(self._gauges)

    def lane(
        self, name: str, model: BatchedModel[I, R], engine: EngineName = "torch"
    ) -> Lane[I, R]:
        """The lane of the model ``name``, which ``engine`` runs."""
        on_cpu = engine == "openvino" or pick_device(self._config) == "cpu"
        settings = self._config.settings
        lane = Lane(
            name,
            model,
            self._batch_limits(),
            self._device,
            partial(self.meter.forward, name),
            initialize=lower_thread_priority
            if on_cpu
            else None,  # a GPU waits for the thread that feeds it
            max_bytes=settings.max_waiting_bytes,
            timeout_s=settings.request_timeout_s,
        )
        self._lanes.add(lane)
        return lane

    async def answers(
        self,
        lane: Lane[I, R],
        parts: AsyncGenerator[Sequence[I | Problem] | Unprepared[I], None],
        max_batch_size: int | None = None,
    ) -> list[R | Problem]:
        """One answer an item, in order, to the items of one request, which come in ``parts``.

        Each part is queued when it comes; an unprepared one is prepared before, in a thread and
        together with parts of other requests. At most ``max_batch_size`` items share a batch. A
        problem among the items is its own answer. When the caller is cancelled, its items leave the
        queue. Raises :class:`Overloaded` when the queue has no room for them.
        """
        loop = asyncio.get_running_loop()
        request = QueuedRequest(max_batch_size, recorder=recorder_here(), owner=owner_here())
        admitted = list[RequestItems]()
        answers: list[asyncio.Future[R | Problem] | Problem] = []
        try:
            async with aclosing(parts):
                async for part in parts:
                    items = RequestItems(lane, part, request, loop.create_future())
                    admitted.append(items)
                    await self._admit(items)
                    if not await items.admitted:
                        raise Overloaded(lane.name, "items")
                    answers += items.answers
            return [each if isinstance(each, Problem) else await each for each in answers]
        finally:
            for items in admitted:
                items.cancel()

    async def preprocessed(
        self, name: str, parts: Iterable[Callable[[], T]]
    ) -> AsyncGenerator[T, None]:
        """The results of ``parts``, inputs of the model ``name``.

        They are computed one by one while the model works on those before.
        """
        for part in parts:
            with self.meter.preprocessing(name):
                made = await self.in_thread(part)
            yield made

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function`` in the preprocessing thread, off the event loop and beside the model.

        It is a stage of the call that runs here.
        """
        recorder, began = recorder_here(), time.monotonic()
        result = await self._in_thread(function, *args, **kwargs)
        if recorder is not None:
            recorder.add("preprocess", began, time.monotonic())
        return result

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(function, *args, **kwargs))

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Apply new batch limits. A wrong ``user_config`` changes nothing; log and metrics say so.

        It does not raise, since Serve would stop the replica, which can go on with its old limits.
        """
        try:
            self._limits = UserConfig.model_validate(user_config)
        except ValidationError as error:
            self._refused = tuple(explain(error, "user_config", UserConfig))
            self._log_refused()
            return
        self._refused = ()
        for lane in self._lanes:
            lane.limits = self._batch_limits()
        admit: Any = self._admit  # with the methods that Serve's decorator adds
        admit.set_batch_wait_timeout_s(self._limits.batch_wait_timeout_s)

    @property
    def volume_name(self) -> Limit:
        """The limit of the volume of a batch, as metrics name it."""
        return "batch_tokens" if self._volume_limit == "max_batch_tokens" else "batch_pixels"

    @property
    def target_queue_s(self) -> float:
        """The seconds of waiting work, of one model, beyond which another replica is wanted."""
        return self._limits.target_queue_s

    def live_limits(self) -> LiveLimits:
        """The limits in force, without the limit of a volume that is not counted here."""
        others = {"max_batch_tokens", "max_batch_pixels"} - {self._volume_limit}
        in_force = self._limits.model_dump(exclude=others)
        return LiveLimits(self._config.name, in_force, self._refused)

    def check_health(self) -> None:
        """Raises when the device is lost.

        Also bounds what ``@serve.batch`` admits in one go by the requests that Serve lets into the
        replica, which may have changed: Serve warns of batches that can never fill.
        """
        self._device.check()
        max_requests = max_ongoing_requests()
        if max_requests is not None:
            admit: Any = self._admit  # with the methods that Serve's decorator adds
            admit.set_max_batch_size(min(MAX_ADMITTED, max_requests))

    @serve.batch(max_batch_size=MAX_ADMITTED, batch_wait_timeout_s=0.0)
    async def _admit(self, batch: list[RequestItems]) -> list[None]:
        """Prepare together what arrived together, and queue it in the lanes.

        Returns before that is done, since ``@serve.batch`` answers all callers at once. The lane of
        a model forms batches later, when the model becomes free.
        """
        self._preparation.add(batch)
        return [None] * len(batch)

    def _batch_limits(self) -> BatchLimits:
        limits = self._limits
        return BatchLimits(
            limits.max_batch_size,
            getattr(limits, self._volume_limit),
            limits.max_forward_ms / 1000,
            limits.max_batches_waited,
        )

    def _log_refused(self) -> None:
        problems = "; ".join(self._refused)
        logger.error("%s keeps the limits that it has: %s", self._config.name, problems)

    def _gauges(self) -> Iterator[MetricSample]:
        yield signals.LIMITS_REFUSED.of(self._config.name, amount=bool(self._refused))
