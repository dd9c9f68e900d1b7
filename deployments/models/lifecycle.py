"""What the deployment of every family does with its models by order: load, unload, report.

A family gets it by deriving from :class:`Lifecycle`, beginning with its :class:`ModelCache` in the
constructor, and settling whenever its health is checked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Generic, TypeVar

import ray
from ray import serve
from ray.exceptions import RayError

from deployments.models.cache import ModelCache, StillInUseError
from deployments.models.errors import ModelUnavailable
from deployments.models.memory import cuda_memory
from deployments.seam.orders import Orders, orders_here
from deployments.seam.problems import Problem
from deployments.seam.replicas import LiveLimits, ModelOrder, ReplicaReport, UnloadResult

logger = logging.getLogger(__name__)

M = TypeVar("M")


class Lifecycle(Generic[M]):
    """The models of one replica, under orders that every replica of the family gets.

    An order is also written down (:mod:`deployments.seam.orders`). A replica reads what is
    written when it starts and at every check of its health, so one that started later, or did not
    hear the order, comes to hold what it should without anybody's doing. What was loaded by order
    loads after the pinned models and behind the replica's readiness: its requests wait for it, the
    others do not.
    """

    _residency: ModelCache[M]
    _orders: Orders
    _settling: asyncio.Task[None] | None = None

    def _begin(self, residency: ModelCache[M]) -> None:
        """Load what is pinned, except what an order unloaded."""
        self._residency = residency
        self._orders = orders_here()
        residency.load_pinned([name for name, loaded in self._given().items() if not loaded])

    def _settle(self) -> None:
        """Come to hold what was ordered, in the background."""
        if self._settling is None or self._settling.done():
            self._settling = asyncio.get_running_loop().create_task(self._settled())

    async def load_model(self, order: ModelOrder) -> ReplicaReport | Problem:
        """Load a model, to stay until an order unloads it; at once when it is there already."""
        try:
            async with asyncio.timeout(order.within_s):
                await self._residency.load(order.model)
        except ModelUnavailable as error:
            return error.problem
        except TimeoutError:
            return Problem("timeout", f"The model {order.model} is still loading.")
        return await self.loaded_models(None)

    async def unload_model(self, order: ModelOrder) -> UnloadResult | Problem:
        """Unload a model once no request runs on it; requests that come meanwhile wait.

        They load it again then, for an order to unload is not one to refuse. A model that was not
        loaded is unloaded.
        """
        started = time.monotonic()
        try:
            freed = await self._residency.unload(order.model, order.within_s)
        except StillInUseError:
            message = f"Requests are still running on {order.model}; it was not unloaded."
            return Problem("unavailable", message)
        return UnloadResult(*_whereabouts(), freed, time.monotonic() - started)

    async def loaded_models(self, request: None) -> ReplicaReport:
        """What this replica holds now."""
        holdings = await asyncio.to_thread(self._residency.statuses)
        return ReplicaReport(*_whereabouts(), holdings, cuda_memory(), self.live_limits())

    def live_limits(self) -> LiveLimits | None:
        """What ``user_config`` changes here, as it is now; ``None`` where nothing says."""
        return None

    async def _settled(self) -> None:
        given = await asyncio.to_thread(self._given)
        # Beside each other: one whose files take minutes to come must not hold up the others.
        await asyncio.gather(*(self._follow(name, loaded) for name, loaded in given.items()))

    async def _follow(self, name: str, loaded: bool) -> None:
        try:
            if loaded:
                await self._residency.load(name, even_if_failed=False)
            elif self._residency.is_pinned(name):
                await self._residency.unload(name, within_s=0)
        except ModelUnavailable as error:
            logger.warning("%s was loaded by order, but %s", name, error.reason)
        except StillInUseError:
            logger.info("%s is unloaded when no request is on it", name)

    def _given(self) -> dict[str, bool]:
        try:
            orders = self._orders.all()
        except RayError as error:
            logger.warning("orders cannot be read: %s", error)
            return {}
        return {name: loaded for name, loaded in orders.items() if name in self._residency.names}


def _whereabouts() -> tuple[str, str]:
    """This replica's name and its node's."""
    if not ray.is_initialized():
        return "here", "here"
    node: str = ray.get_runtime_context().get_node_id()
    return serve.get_replica_context().replica_tag, node
