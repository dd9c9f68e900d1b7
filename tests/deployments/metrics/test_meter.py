"""The meter reports batches, models and memory, and goes on when the ledger does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from ray.exceptions import RayActorError

from deployments.metrics import meter as module
from deployments.metrics import reporter, signals
from deployments.metrics.ledger import Ledger, LedgerConfig
from deployments.metrics.meter import Forward, Meter
from deployments.metrics.report import MetricReport, MetricSample
from tests.deployments.metrics.reading import Figures, figures
from tests.serve_app.local_handle import PATIENCE_S, LocalHandle

CONFIG = LedgerConfig(frozenset({"one"}), frozenset({"embed"}))


class Watched:
    """A ledger whose first ``failures`` calls fail."""

    def __init__(self, failures: int = 0) -> None:
        self.ledger = Ledger(CONFIG)
        self.mirrored: list[MetricReport] = []
        self._failures = failures
        self._arrived = asyncio.Event()

    async def add(self, report: MetricReport) -> None:
        if self._failures:
            self._failures -= 1
            raise RayActorError
        await self.ledger.add(report)
        self._arrived.set()

    async def figures(self) -> Figures:
        await asyncio.wait_for(self._arrived.wait(), PATIENCE_S)
        return figures((await self.ledger.exposition("")).body.decode())


@pytest.fixture(autouse=True)
def _quick_and_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRay:
        def record(self, report: MetricReport) -> None:
            pass

    monkeypatch.setattr(reporter, "RETRY_S", 0.001)
    monkeypatch.setattr(module, "RayMetrics", NoRay)


def gauges() -> Iterator[MetricSample]:
    yield signals.MEMORY.of("one", amount=1000)


def metered(watched: Watched) -> Meter:
    handle: Any = LocalHandle(watched)
    meter = Meter(handle)
    meter.register(gauges)
    return meter


@pytest.mark.parametrize("failures", [0, 3])
async def test_batches_models_and_memory_reach_the_ledger(failures: int) -> None:
    watched = Watched(failures)
    meter = metered(watched)
    meter.model("load", "one")
    meter.model("hit", "one")
    meter.forward("one", Forward((0.1, 0.3), fill=0.25, padding=0.1, seconds=0.2))
    meter.admitted("one", 0.6)
    found = await watched.figures()
    assert found["model_loads_total", "one"] == 1
    assert found["cache_hits_total", "one"] == 1
    assert found["batch_size_sum", "one"] == 2
    assert found["batch_fill_ratio_sum", "one"] == 0.25
    assert found["batch_padding_ratio_sum", "one"] == 0.1
    assert found["forward_seconds_sum", "one"] == 0.2
    assert found["queue_wait_seconds_sum", "one"] == pytest.approx(1.0)
    assert found["model_memory_bytes", "one"] == 1000


async def test_an_idle_replica_still_reports_its_memory() -> None:
    watched = Watched()
    metered(watched).start()
    assert (await watched.figures())["model_memory_bytes", "one"] == 1000


async def test_without_a_ledger_nothing_is_recorded() -> None:
    meter = Meter(None)
    meter.start()
    meter.forward("one", Forward((0.1,), fill=0.25, padding=0.0, seconds=0.2))
    assert len(asyncio.all_tasks()) == 1
