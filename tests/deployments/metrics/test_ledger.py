"""The ledger adds every report once, is bounded in every way, and has gauges of live replicas."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.metrics import signals
from deployments.metrics.ledger import (
    GAUGES_LIVE_S,
    MAX_REPORTERS,
    REMEMBERED_S,
    Ledger,
    LedgerConfig,
)
from deployments.metrics.recent import GIB, MAX_REQUESTS
from deployments.metrics.report import FinishedRequest, MetricReport, MetricSample
from deployments.metrics.signals import GAUGES, PREFIX, SIGNALS
from tests.deployments.metrics.reading import Figures, figures

CONFIG = LedgerConfig(frozenset({"one", "two"}), frozenset({"chat", "embed"}))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def request(model: str = "one", task: str = "chat", status: str = "success") -> MetricSample:
    return signals.REQUESTS.of(model, task, status)


async def values(ledger: Ledger) -> Figures:
    return figures((await ledger.exposition("")).body.decode())


async def test_a_report_that_arrives_twice_is_added_once() -> None:
    ledger = Ledger(CONFIG)
    report = MetricReport("a", 1, (request(),), (FinishedRequest("one", "chat", True, 0.5),))
    await ledger.add(report)
    await ledger.add(report)
    await ledger.add(MetricReport("b", 1, (request(),)))
    await ledger.add(MetricReport("a", 2, (request(),)))
    assert (await values(ledger))["requests_total", "one", "chat", "success"] == 3
    performance = await ledger.performance()
    assert performance is not None
    assert performance.total_requests == 1


async def test_each_value_of_a_sample_is_counted_in_its_bucket() -> None:
    ledger = Ledger(CONFIG)
    hits = MetricSample("cache_hits", ("one",), (1.0, 2.0, 1.0))
    waits = MetricSample("queue_wait_seconds", ("one",), (0.002, 0.02, 0.003, 400.0))
    await ledger.add(MetricReport("a", 1, (hits, waits)))
    found = await values(ledger)
    assert found["cache_hits_total", "one"] == 4
    assert found["queue_wait_seconds_sum", "one"] == 400.025
    below = [found["queue_wait_seconds_bucket", "one", le] for le in ("0.001", "0.0025", "0.005")]
    assert below == [0, 1, 2]
    assert found["queue_wait_seconds_bucket", "one", "300.0"] == 3
    assert found["queue_wait_seconds_count", "one"] == 4


async def test_an_old_report_that_arrives_late_is_not_added_again() -> None:
    ledger = Ledger(CONFIG)
    for number in (1, 2, 1, 2):
        await ledger.add(MetricReport("a", number, (request(),)))
    assert (await values(ledger))["requests_total", "one", "chat", "success"] == 2


async def test_label_values_that_are_not_known_become_unknown() -> None:
    ledger = Ledger(CONFIG)
    samples = tuple(request(f"made-up-{i}", f"task-{i}") for i in range(50))
    await ledger.add(MetricReport("a", 1, (*samples, request("several", "embed"))))
    found = {key: value for key, value in (await values(ledger)).items() if "requests_total" in key}
    assert found == {
        ("requests_total", "unknown", "unknown", "success"): 50,
        ("requests_total", "several", "embed", "success"): 1,
    }


@pytest.mark.parametrize(
    "sample",
    [
        MetricSample("from_the_future", ("x",), (1.0,)),
        signals.REQUESTS.of("one", "chat", "success")._replace(labels=("one", "chat")),
    ],
)
async def test_a_sample_of_a_replica_of_another_version_is_ignored(sample: MetricSample) -> None:
    ledger = Ledger(CONFIG)
    await ledger.add(MetricReport("a", 1, (sample, request())))
    assert (await values(ledger))["requests_total", "one", "chat", "success"] == 1


async def test_gauges_add_up_and_those_of_a_silent_replica_are_dropped() -> None:
    clock = Clock()
    ledger = Ledger(CONFIG, clock)
    memory = signals.MEMORY
    usage = signals.KV_USAGE
    for name, size, used in (("a", 100, 0.2), ("b", 50, 0.6)):
        gauges = (memory.of("one", amount=size), usage.of("one", amount=used))
        await ledger.add(MetricReport(name, 1, gauges=gauges))
    assert (await values(ledger))["model_memory_bytes", "one"] == 150
    assert (await values(ledger))["kv_cache_usage_ratio", "one"] == 0.4
    clock.now = GAUGES_LIVE_S
    await ledger.add(MetricReport("a", 2, gauges=(memory.of("one", amount=70),)))
    clock.now += 1
    assert (await values(ledger))["model_memory_bytes", "one"] == 70
    assert ("kv_cache_usage_ratio", "one") not in await values(ledger)


async def test_totals_stay_when_their_replica_is_gone() -> None:
    clock = Clock()
    ledger = Ledger(CONFIG, clock)
    await ledger.add(MetricReport("a", 1, (request(),)))
    clock.now = 100 * REMEMBERED_S
    await ledger.add(MetricReport("b", 1, (request(),)))
    assert (await values(ledger))["requests_total", "one", "chat", "success"] == 2


async def test_the_ledger_does_not_grow_as_replicas_come_and_go() -> None:
    clock = Clock()
    ledger = Ledger(CONFIG, clock)
    for number in range(MAX_REPORTERS + 5):
        await ledger.add(MetricReport(str(number), 1, gauges=(signals.SLOTS.of("one"),)))
    assert (await values(ledger))["slots", "one"] == MAX_REPORTERS
    clock.now = REMEMBERED_S + 1
    await ledger.add(MetricReport("last", 1))
    assert len(ledger._reporters) == 1


async def test_figures_are_of_the_last_hundred_of_at_most_a_thousand() -> None:
    ledger = Ledger(CONFIG)
    assert await ledger.performance() is None
    size = signals.MEMORY.of("one", amount=2 * GIB)
    early = tuple(FinishedRequest("two", "embed", False, None) for _ in range(MAX_REQUESTS))
    await ledger.add(MetricReport("a", 1, finished=early, gauges=(size,)))
    late = [FinishedRequest("one", "chat", True, 1.0 + i) for i in range(99)]
    await ledger.add(MetricReport("a", 2, finished=tuple(late), gauges=(size,)))
    performance = await ledger.performance()
    assert performance is not None
    assert performance.total_requests == MAX_REQUESTS
    assert performance.model_usage == {"one": 99, "two": 1}
    assert performance.task_usage == {"chat": 99, "embed": 1}
    assert performance.success_rate == 99.0
    assert performance.min_inference_time == 1.0
    assert performance.max_inference_time == 99.0
    assert performance.average_inference_time == 50.0
    assert performance.average_memory_usage == 2.0


async def test_figures_of_requests_that_reached_no_model_have_no_times() -> None:
    ledger = Ledger(CONFIG)
    await ledger.add(
        MetricReport("a", 1, finished=(FinishedRequest("unknown", "chat", False, None),))
    )
    performance = await ledger.performance()
    assert performance is not None
    assert (performance.total_requests, performance.success_rate) == (1, 0.0)
    assert performance.average_inference_time is None
    assert performance.average_memory_usage is None


async def test_every_signal_is_exposed_in_both_formats() -> None:
    ledger = Ledger(CONFIG)
    samples = tuple(
        signal.of(*("one" for _ in signal.labels), amount=1.0)
        for signal in SIGNALS
        if signal.kind in ("counter", "histogram")
    )
    gauges = tuple(signal.of(*("one" for _ in signal.labels)) for signal in GAUGES)
    await ledger.add(MetricReport("a", 1, samples, gauges=gauges))
    plain = await ledger.exposition("text/plain")
    assert plain.content_type.startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(plain.body.decode())}
    assert {PREFIX + signal.name for signal in SIGNALS} <= families
    accept = "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"
    modern = await ledger.exposition(accept)
    assert modern.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert modern.body.endswith(b"# EOF\n")


async def test_a_new_ledger_begins_from_zero_at_a_later_time() -> None:
    first, second = Ledger(CONFIG), Ledger(CONFIG)
    await first.add(MetricReport("a", 7, (request(), request())))
    await second.add(MetricReport("a", 8, (request(),)))
    key = ("requests_total", "one", "chat", "success")
    created = ("requests_created", "one", "chat", "success")
    before, after = await values(first), await values(second)
    assert (before[key], after[key]) == (2, 1)
    assert after[created] >= before[created]


async def test_as_many_other_names_are_labels_as_models_may_be_loaded_by_name() -> None:
    ledger = Ledger(replace(CONFIG, live_models=2))
    names = ("new", "newer", "new", "newest", "one")
    await ledger.add(MetricReport("a", 1, tuple(request(name) for name in names)))
    found = await values(ledger)
    known = ("new", "newer", "one", "unknown")
    counts = [found["requests_total", name, "chat", "success"] for name in known]
    assert counts == [2, 1, 1, 1]
