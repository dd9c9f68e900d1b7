"""Sends closed request records to the ledger, and reads the cluster's metrics from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from configs.serve_schema import LEDGER
from configs.settings import Settings
from deployments.metrics.ledger import Ledger, LedgerConfig
from deployments.metrics.report import (
    Exposition,
    FinishedRequest,
    MetricReport,
    MetricSample,
    Performance,
)
from deployments.metrics.reporter import NotDelivered, Reporter
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import ServiceError, Unavailable

T = TypeVar("T")

READ_TIMEOUT_S = 3.0
"""How long a scrape waits for the ledger; Prometheus gives up after ten seconds by default."""


class LedgerPort(Protocol):
    """A ledger, in this process or in another one."""

    async def add(self, report: MetricReport) -> None: ...

    async def exposition(self, accept: str) -> Exposition: ...

    async def performance(self) -> Performance | None: ...


class RemoteLedger:
    """The ledger in its own deployment."""

    def __init__(self, client: DeploymentClient) -> None:
        self._client = client

    async def add(self, report: MetricReport) -> None:
        """Raises :class:`NotDelivered` when the ledger may not have got it."""
        try:
            await self._client.call(LEDGER, "add", report)
        except ServiceError as error:
            raise NotDelivered from error

    async def exposition(self, accept: str) -> Exposition:
        exposition: Exposition = await self._client.call(LEDGER, "exposition", accept)
        return exposition

    async def performance(self) -> Performance | None:
        performance: Performance | None = await self._client.call(LEDGER, "performance", None)
        return performance


class Metering:
    """Records requests through ``reporter``, and reads metrics from ``ledger``.

    What this replica recorded is always among the metrics that are read. Other replicas deliver
    theirs within a quarter of a second.
    """

    def __init__(self, ledger: LedgerPort, reporter: Reporter) -> None:
        self._ledger = ledger
        self._reporter = reporter

    def record(
        self, samples: Iterable[MetricSample], finished: FinishedRequest | None = None
    ) -> None:
        self._reporter.record(samples, finished)

    async def exposition(self, accept: str) -> Exposition:
        """Raises :class:`Unavailable` while the ledger is away."""
        return await self._read(lambda: self._ledger.exposition(accept))

    async def performance(self) -> Performance | None:
        """Raises :class:`Unavailable` while the ledger is away."""
        return await self._read(self._ledger.performance)

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                if await self._reporter.flush():
                    return await read()
        except (TimeoutError, ServiceError):
            pass
        raise Unavailable("The ledger of metrics is restarting.", 2)


def local_metering(catalog: Catalog, tasks: Iterable[str], settings: Settings) -> Metering:
    """Metering with a ledger in this process, for an application outside Serve."""
    ledger = Ledger(ledger_config(catalog, tasks, settings, catalog.max_live))
    return Metering(ledger, Reporter(ledger.add))


def ledger_config(
    catalog: Catalog, tasks: Iterable[str], settings: Settings, live_models: int = 0
) -> LedgerConfig:
    """The values that labels of metrics can have: models, and ``tasks`` of routes and models.

    Up to ``live_models`` further model names become labels: those of models loaded by name.
    """
    of_models = frozenset(task for card in catalog.cards for task in card.tasks)
    names = frozenset(card.name for card in catalog.cards)
    known_tasks = of_models.union(tasks)
    return LedgerConfig(names, known_tasks, live_models, settings.other_metric_names)
