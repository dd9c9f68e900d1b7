"""Reports arrive one after the other, whatever happens to the ledger."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import NoReturn

import pytest

from deployments.metrics import reporter as module
from deployments.metrics import signals
from deployments.metrics.report import FinishedRequest, MetricReport, MetricSample
from deployments.metrics.reporter import NotDelivered, Reporter

PATIENCE_S = 30.0
HIT = signals.CACHE_HITS.of("one")


class Post:
    """Takes what is delivered, unless the ledger is ``away`` or ``mute``: taken, not confirmed."""

    def __init__(self) -> None:
        self.taken: list[MetricReport] = []
        self.away = self.mute = False
        self._came = asyncio.Event()

    async def __call__(self, report: MetricReport) -> None:
        if self.away:
            raise NotDelivered
        self.taken.append(report)
        self._came.set()
        if self.mute:
            raise NotDelivered

    async def came(self) -> None:
        await asyncio.wait_for(self._came.wait(), PATIENCE_S)
        self._came.clear()

    @property
    def samples(self) -> list[MetricSample]:
        """What a ledger adds up, a sample a value: each number once."""
        batches = {report.number: report for report in self.taken}
        return [
            MetricSample(signal, labels, (amount,))
            for report in batches.values()
            for signal, labels, amounts in report.samples
            for amount in amounts
        ]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERVAL_S", "RETRY_S", "HEARTBEAT_S", "QUIET_HEARTBEAT_S"):
        monkeypatch.setattr(module, name, 0.001)


async def test_a_record_is_delivered_without_a_flush() -> None:
    post = Post()
    Reporter(post).record([HIT], FinishedRequest("one", "chat", True, 1.0))
    await post.came()
    (report,) = post.taken
    assert (report.number, report.samples) == (1, (HIT,))
    assert report.finished == (FinishedRequest("one", "chat", True, 1.0),)


async def test_a_flush_delivers_what_was_recorded_and_says_so() -> None:
    post = Post()
    reporter = Reporter(post)
    for _ in range(5):
        reporter.record([HIT])
    assert await reporter.flush()
    assert post.samples == [HIT] * 5
    assert await reporter.flush()
    assert len(post.taken) == 1


async def test_values_of_one_signal_and_labels_travel_in_one_sample() -> None:
    post, wait = Post(), signals.QUEUE_WAIT
    reporter = Reporter(post)
    for seconds in (0.3, 0.1, 0.2):
        reporter.record([HIT, wait.of("one", amount=seconds)])
    reporter.record([wait.of("two", amount=0.4)])
    assert await reporter.flush()
    (report,) = post.taken
    assert report.samples == (
        MetricSample("cache_hits", ("one",), (1.0, 1.0, 1.0)),
        MetricSample("queue_wait_seconds", ("one",), (0.3, 0.1, 0.2)),
        MetricSample("queue_wait_seconds", ("two",), (0.4,)),
    )


async def unconfirmed(post: Post) -> Reporter:
    """A reporter of one sample, whose first report was not confirmed."""
    reporter = Reporter(post)
    reporter.record([HIT])
    assert not await reporter.flush()
    return reporter


async def test_what_the_ledger_missed_is_kept_and_delivered_later() -> None:
    post = Post()
    post.away = True
    reporter = await unconfirmed(post)
    reporter.record([HIT])
    assert not await reporter.flush()
    post.away = False
    await post.came()
    assert await reporter.flush()
    assert post.samples == [HIT, HIT]


async def test_a_report_that_was_not_confirmed_is_sent_again_under_its_number() -> None:
    post = Post()
    post.mute = True
    reporter = await unconfirmed(post)
    post.mute = False
    assert await reporter.flush()
    assert [report.number for report in post.taken] == [1, 1]
    assert post.taken[0] == post.taken[1]
    assert post.samples == [HIT]


async def test_a_flush_that_is_given_up_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    post, stuck = Post(), asyncio.Event()

    async def slow(report: MetricReport) -> None:
        stuck.set()
        await asyncio.Event().wait()

    reporter = Reporter(slow)
    reporter.record([HIT])
    flushing = asyncio.ensure_future(reporter.flush())
    await asyncio.wait_for(stuck.wait(), PATIENCE_S)
    monkeypatch.setattr(reporter, "_deliver", post)
    flushing.cancel()
    reporter.record([HIT])
    await asyncio.wait({flushing})
    assert reporter._worker is not None
    reporter._worker.cancel()  # it may hang where the flush did
    await asyncio.wait({reporter._worker})
    assert await reporter.flush()
    assert post.samples == [HIT, HIT]


async def test_while_the_ledger_is_away_what_is_kept_is_bounded_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 10)
    post = Post()
    post.away = True
    reporter = Reporter(post)
    reporter.record([HIT] * 25)
    post.away = False
    assert await reporter.flush()
    assert post.samples.count(HIT) == 10
    assert signals.LOST.of(amount=15) in post.samples


async def test_a_long_queue_goes_in_several_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SENT", 4)
    post = Post()
    reporter = Reporter(post)
    reporter.record([HIT] * 10)
    assert await reporter.flush()
    assert [report.samples for report in post.taken] == [
        (HIT._replace(amounts=(1.0,) * values),) for values in (4, 4, 2)
    ]
    assert [report.number for report in post.taken] == [1, 2, 3]


async def test_a_replica_with_gauges_is_heard_of_when_nothing_happens() -> None:
    post = Post()
    slots = signals.SLOTS.of("one", amount=16)
    Reporter(post, [lambda: [slots]]).start()
    for _ in range(3):
        await post.came()
    assert [report.gauges for report in post.taken[:3]] == [(slots,)] * 3
    numbers = [report.number for report in post.taken]
    assert numbers == sorted(set(numbers))


async def test_gauges_that_change_are_told_soon_and_those_that_rest_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "QUIET_HEARTBEAT_S", 3600.0)
    in_use = iter((2, 1, 0, 0))  # one more report would find none, and miss the gauge
    post = Post()
    reporter = Reporter(post, [lambda: [signals.SLOTS_IN_USE.of("one", amount=next(in_use))]])
    reporter.record([HIT])
    reporter.start()
    while len(post.taken) < 4:
        await post.came()
    await asyncio.sleep(0.05)
    assert [report.samples for report in post.taken] == [(HIT,), (), (), ()]
    assert [report.gauges[0].amounts for report in post.taken] == [(2,), (1,), (0,), (0,)]


async def test_gauges_and_limits_that_cannot_be_read_cost_a_report_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    post = Post()
    slots = signals.SLOTS.of("one", amount=16)

    def broken() -> NoReturn:
        raise ValueError("the device is lost")

    reporter = Reporter(post, [broken, lambda: [slots]], limits=broken)
    for _ in range(2):
        reporter.record([HIT])
        assert await reporter.flush(heartbeat=True)
    assert [report.samples for report in post.taken[:2]] == [(HIT,), (HIT,)]
    assert {report.gauges for report in post.taken} == {(slots,)}
    assert {report.limits for report in post.taken} == {None}
    assert caplog.text.count("ValueError: the device is lost") == 1


async def test_gauges_are_read_only_for_a_report() -> None:
    post, reads = Post(), list[int]()

    def read() -> list[MetricSample]:
        reads.append(1)
        return []

    reporter = Reporter(post, [read])
    reporter.record([HIT])
    for _ in range(2):
        assert await reporter.flush()
    assert len(reads) == len(post.taken) == 1


async def test_records_may_come_from_any_thread_and_before_there_is_a_loop() -> None:
    post = Post()
    reporter = Reporter(post)
    early = threading.Thread(target=reporter.record, args=([HIT],))
    early.start()
    await asyncio.to_thread(early.join)
    assert post.taken == []
    reporter.start()
    await post.came()
    assert post.samples == [HIT]
    late = threading.Thread(target=reporter.record, args=([HIT],))
    late.start()
    await post.came()
    assert post.samples == [HIT, HIT]


async def test_the_mirror_gets_each_report_once_however_often_it_is_sent() -> None:
    post, seen = Post(), list[MetricReport]()
    post.mute = True
    reporter = Reporter(post, mirror=seen.append)
    reporter.record([HIT])
    assert not await reporter.flush()
    post.mute = False
    assert await reporter.flush()
    assert len(post.taken) == 2
    assert [report.number for report in seen] == [1]


async def test_what_a_collector_counted_is_added_and_not_a_gauge() -> None:
    post = Post()
    slots, found = signals.SLOTS.of("one", amount=16), signals.PREFIX_HITS.of("one", amount=32)
    reporter = Reporter(post, [lambda: [slots, found]])
    reporter.record([HIT])
    assert await reporter.flush()
    (report,) = post.taken
    assert set(report.samples) == {HIT, found}
    assert report.gauges == (slots,)


async def test_reports_are_sent_outside_of_the_context_of_what_was_recorded() -> None:
    request, seen, sent = ContextVar("request", default="none"), list[str](), asyncio.Event()

    async def deliver(report: MetricReport) -> None:
        seen.append(request.get())
        sent.set()

    request.set("a traced request")
    reporter = Reporter(deliver)
    reporter.record([HIT])
    await asyncio.wait_for(sent.wait(), 30)
    assert seen == ["none"]
