"""The base of every family's deployment: the methods that Serve and operators call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

import ray
from ray import serve

from configs.detection import DetectedModel, Inspection
from deployments.metrics import signals
from deployments.metrics.binding_limit import BindingLimit
from deployments.metrics.meter import Meter
from deployments.metrics.report import MetricSample
from deployments.models.cache import ModelCache
from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from deployments.models.decision_follower import DecisionFollower
from deployments.models.errors import StillInUseError, unavailable_as_problem
from deployments.models.gpu_gauges import gpu_gauges
from deployments.models.inspection import ModelInspector
from deployments.models.joined_calls import CallRunner
from deployments.models.loaded_model import LoadedModel
from deployments.models.loader import ModelLoader
from deployments.models.memory import cuda_memory
from deployments.models.model_specs import ModelSpecs
from deployments.models.ongoing_requests import max_ongoing_requests
from deployments.models.order_follower import OrderFollower
from deployments.models.replica_binding import ReplicaBinding
from deployments.seam.joined_calls import CancelledCalls, JoinedAnswers, JoinedCalls
from deployments.seam.live_models import live_models_here
from deployments.seam.problems import Problem
from deployments.seam.replicas import (
    LiveLimits,
    ModelOrder,
    ReplicaMetadata,
    ReplicaReport,
    RoutingStats,
    UnloadResult,
)
from deployments.seam.scaling import AutoscalingStats, ModelLoad

M = TypeVar("M")


class FamilyLoader(ModelLoader[M], Protocol[M]):
    """How the models of a family are loaded, checked and measured."""

    def check(self, model: M) -> None:
        """Raises when ``model`` cannot answer any more and only another replica can help."""
        ...

    def load_of(self, model: M) -> ModelLoad:
        """How much of the replica the model asks for at this moment."""
        ...

    def limit_of(self, model: M) -> BindingLimit | None:
        """What keeps the model from being faster; ``None`` if nothing does."""
        ...

    @property
    def target_queue_s(self) -> float:
        """The seconds of waiting work to which :attr:`ModelLoad.queue` compares; 0 without any."""
        ...

    def gauges(self, loaded: LoadedModel[M]) -> Iterable[MetricSample]:
        """The metrics of a loaded model at this moment."""
        ...


class Reconfigurable(Protocol):
    """The part of a family that Serve's ``user_config`` changes while the replica runs."""

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take new limits. Does not raise: Serve stops a replica that does."""
        ...

    def live_limits(self) -> LiveLimits:
        """The limits in force, and what was wrong with the last ``user_config``."""
        ...

    def check_health(self) -> None:
        """Raises when only another replica can help."""
        ...


class FamilyDeployment(CallReceiver, Generic[M]):
    """The base of every family's deployment. It only delegates to the parts that it is given.

    The constructor loads nothing. Pinned models load at the first health check: Serve awaits it
    before the replica counts as started, and treats a failure like one of the constructor.
    """

    def __init__(
        self, config: FamilyConfig, loader: FamilyLoader[M], limits: Reconfigurable, meter: Meter
    ) -> None:
        self._loader = loader
        self._limits = limits
        self._meter = meter
        self._config = config
        settings = config.settings
        self._inspector = ModelInspector(settings.hf_cache_dir, settings.token)
        specs = ModelSpecs(config.models, config.name, live_models_here(), config.allowed)
        self._models = ModelCache(specs, loader, meter.model, settings.max_memory_gb)
        self._orders = OrderFollower(self._models)
        self._calls = CallRunner(self)
        self._decisions = DecisionFollower()
        self._binding = ReplicaBinding(config, self._limits_of_models, self._calls, self._decisions)
        meter.register(self._gauges)
        meter.register(self._binding.gauges)
        meter.register_limits(self._binding.report)

    async def check_health(self) -> None:
        """Raises when only another replica can help: a model hangs, or dies again and again."""
        self._meter.start()
        await self._orders.load_pinned()
        self._limits.check_health()
        for loaded in self._models.loaded:
            if not self._loader.is_dead(loaded.model):
                self._loader.check(loaded.model)
        self._models.reload_dead()
        self._orders.follow()
        self._decisions.follow()

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take the ``user_config`` of the deployment, at the start and whenever it changes."""
        self._limits.reconfigure(user_config)

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        """Answer calls of a method that arrived together, each as soon as it is ready."""
        async with aclosing(self._calls.run(calls)) as answers:
            async for ready in answers:
                yield ready

    async def cancel_calls(self, cancelled: CancelledCalls) -> None:
        """Cancel some of the calls of a list; the others go on."""
        self._calls.cancel(cancelled)

    @unavailable_as_problem
    async def load_model(self, order: ModelOrder) -> ReplicaReport | Problem:
        """Load a model, which then stays until an order unloads it."""
        try:
            async with asyncio.timeout(order.within_s):
                await self._models.load(order.model)
        except TimeoutError:
            return Problem("timeout", f"The model {order.model} is still loading.")
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult | Problem:
        """Unload a model once no request uses it. A model that was not loaded is unloaded.

        Unloading does not disable the model: a later request loads it again, if it is still in the
        profile or among the live models of the cluster.
        """
        started = time.monotonic()
        try:
            freed = await self._models.unload(order.model, order.within_s)
        except StillInUseError:
            message = f"Requests are still running on {order.model}; it was not unloaded."
            return Problem("unavailable", message)
        self._models.specs.forget(order.model)
        return UnloadResult(*_replica_and_node(), freed, time.monotonic() - started)

    async def inspect_model(self, request: Inspection) -> DetectedModel | Problem:
        """What a model is that the profile does not name, which this family need not serve."""
        return await self._inspector.inspect(request)

    async def loaded_models(self, request: None) -> ReplicaReport:
        """The models of this replica, and the live limits that it keeps to."""
        statuses = await asyncio.to_thread(self._models.statuses)
        limits = self._limits.live_limits()
        failed = tuple(self._models.failures)
        return ReplicaReport(*_replica_and_node(), statuses, cuda_memory(), limits, failed)

    async def record_routing_stats(self) -> RoutingStats:
        """Called by Serve every few seconds, for the request routers."""
        return {"models": self._models.stages}

    async def record_autoscaling_stats(self) -> AutoscalingStats:
        """Called by Serve every few seconds, for the autoscaling policy."""
        loads = [self._loader.load_of(loaded.model) for loaded in self._models.loaded]
        return AutoscalingStats(
            slots=max((load.slots for load in loads), default=0.0),
            kv_cache=max((load.kv_cache for load in loads), default=0.0),
            queue=sum(load.queue for load in loads),
            busy=min(1.0, sum(load.busy for load in loads)),
            target_queue_s=self._loader.target_queue_s,
            max_ongoing_requests=max_ongoing_requests() or 0,
        )

    async def record_replica_metadata(self) -> ReplicaMetadata:
        """Called by Serve once, before the first health check, for the request routers."""
        names = self._models.specs.names
        return {"pinned": [name for name in names if self._models.is_pinned(name)]}

    def _limits_of_models(self) -> list[BindingLimit | None]:
        return [self._loader.limit_of(loaded.model) for loaded in self._models.loaded]

    def _gauges(self) -> Iterator[MetricSample]:
        yield from gpu_gauges(self._config.name, _replica_and_node()[1])
        for failed in self._models.failures:
            yield signals.MODELS_FAILED.of(failed.model)
        for loaded in self._models.loaded:
            yield from self._loader.gauges(loaded)


def _replica_and_node() -> tuple[str, str]:
    if not ray.is_initialized():
        return "here", "here"
    node: str = ray.get_runtime_context().get_node_id()
    return serve.get_replica_context().replica_tag, node
