"""The metering: where accounts go when they are closed, and where the ledger is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from configs.serve_schema import LEDGER
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

PATIENCE_S = 3.0
"""How long a scrape waits for the ledger; Prometheus gives up after ten seconds by default."""


class LedgerPort(Protocol):
    """What the ingress wants of a ledger, near or far."""

    async def add(self, report: MetricReport) -> None: ...

    async def exposition(self, accept: str) -> Exposition: ...

    async def performance(self) -> Performance | None: ...


class RemoteLedger:
    """The ledger's deployment."""

    def __init__(self, calls: DeploymentClient) -> None:
        self._calls = calls

    async def add(self, report: MetricReport) -> None:
        """Raises :class:`NotDelivered` when the ledger may not have got it."""
        try:
            await self._calls.call(LEDGER, "add", report)
        except ServiceError as error:
            raise NotDelivered from error

    async def exposition(self, accept: str) -> Exposition:
        exposition: Exposition = await self._calls.call(LEDGER, "exposition", accept)
        return exposition

    async def performance(self) -> Performance | None:
        performance: Performance | None = await self._calls.call(LEDGER, "performance", None)
        return performance


class Metering:
    """Closed accounts go to the ledger through ``reporter``; figures come from the ledger.

    What this replica noted is always among the figures. Those of others are delivered within a
    quarter of a second.
    """

    def __init__(self, ledger: LedgerPort, reporter: Reporter) -> None:
        self._ledger = ledger
        self._reporter = reporter

    def note(self, samples: Iterable[MetricSample], finished: FinishedRequest) -> None:
        self._reporter.record(samples, finished)

    async def exposition(self, accept: str) -> Exposition:
        """Raises :class:`Unavailable` while the ledger is away."""
        return await self._read(lambda: self._ledger.exposition(accept))

    async def performance(self) -> Performance | None:
        """Raises :class:`Unavailable` while the ledger is away."""
        return await self._read(self._ledger.performance)

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(PATIENCE_S):
                if await self._reporter.flush():
                    return await ask()
        except (TimeoutError, ServiceError):
            pass
        raise Unavailable("The ledger of metrics is restarting.", 2)


def local_metering(catalog: Catalog, tasks: Iterable[str]) -> Metering:
    """Books of this process alone, for an application outside Serve."""
    ledger = Ledger(ledger_config(catalog, tasks))
    return Metering(ledger, Reporter(ledger.add))


def ledger_config(catalog: Catalog, tasks: Iterable[str]) -> LedgerConfig:
    """The values of labels that a graph can have: ``tasks`` of its routes, and of its models."""
    of_models = frozenset(task for card in catalog.cards for task in card.tasks)
    return LedgerConfig(frozenset(card.name for card in catalog.cards), of_models.union(tasks))
