"""Loads the models that the profile pins, and follows the orders of operators, in one replica."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray.exceptions import RayError

from deployments.models.cache import ModelCache
from deployments.models.errors import ModelUnavailable, StillInUseError
from deployments.seam.orders import orders_here

logger = logging.getLogger(__name__)


class OrderFollower:
    """Loads pinned models when a replica starts, then follows the stored orders.

    A replica receives an order only while it runs, so every order is also stored
    (:mod:`deployments.seam.orders`), and read when a replica starts and at each health check.
    Ordered models load in the background: only their own requests wait for them.
    """

    def __init__(self, models: ModelCache[Any]) -> None:
        self._models = models
        self._orders = orders_here()
        self._read_orders: dict[str, bool] = {}
        self._version: bytes | None = None
        self._pinned: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    async def load_pinned(self) -> None:
        """Load pinned models, except those that an order unloaded. Only the first call does work.

        Raises what loading raises.
        """
        if self._pinned is None:
            self._pinned = asyncio.get_running_loop().create_task(self._load_pinned())
        await asyncio.shield(self._pinned)

    def follow(self) -> None:
        """Load and unload models in the background as the stored orders say."""
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow_all())

    async def _load_pinned(self) -> None:
        orders = await asyncio.to_thread(self._read)
        await self._models.load_pinned([name for name, loaded in orders.items() if not loaded])

    async def _follow_all(self) -> None:
        orders = await asyncio.to_thread(self._read)
        removed = await asyncio.to_thread(self._removed)
        # At the same time: a model whose files download for minutes must not delay the others.
        await asyncio.gather(
            *(self._follow(name, loaded) for name, loaded in orders.items()),
            *(self._remove(name) for name in removed),
        )

    async def _follow(self, name: str, loaded: bool) -> None:
        try:
            if loaded:
                await self._models.load(name, even_if_failed=False)
            elif self._models.is_pinned(name):
                await self._models.unload(name, within_s=0)
        except ModelUnavailable as error:
            logger.warning("%s was loaded by order, but %s", name, error.reason)
        except StillInUseError:
            logger.info("%s is unloaded when no request uses it", name)

    async def _remove(self, name: str) -> None:
        """Unload a live model that was removed while this replica was not told."""
        try:
            await self._models.unload(name, within_s=0)
        except StillInUseError:
            logger.info("%s is removed when no request uses it", name)
        else:
            self._models.specs.forget(name)

    def _read(self) -> dict[str, bool]:
        """The orders for models that this replica may load; read only if they have changed."""
        try:
            if (version := self._orders.version()) != self._version:
                self._read_orders, self._version = self._orders.all(), version
            served = self._models.specs.stored()
        except RayError as error:
            logger.warning("orders cannot be read: %s", error)
            return {}
        return {name: loaded for name, loaded in self._read_orders.items() if name in served}

    def _removed(self) -> list[str]:
        try:
            return self._models.specs.changed()
        except RayError:
            return []
