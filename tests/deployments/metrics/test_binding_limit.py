"""Why a replica is not faster: each limit provoked, and nothing where there is time left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.batching.batch_runner import BatchedModel
from deployments.batching.device_failures import DeviceFailures
from deployments.batching.lane import Lane
from deployments.batching.scheduler import BatchLimits
from deployments.metrics import signals
from deployments.metrics.binding_limit import (
    LIMITS,
    SETTINGS,
    BindingLimit,
    FamilyLimits,
    of_batches,
    of_replica,
    of_slots,
)
from deployments.metrics.ledger import GAUGES_LIVE_S, Ledger, LedgerConfig
from deployments.metrics.report import FinishedRequest, MetricReport
from deployments.seam.scaling import ScalingDecision

SLOW = BindingLimit("forward_time", "slow")
NEEDS_FIVE = ScalingDecision(5, "queue", "much waits", 2, 2, 1, 2, 10.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def bound(limits: BatchLimits, sizes: Sequence[int], *, idle_s: float = 0.0) -> str | None:
    """The limit of a lane that answers these items at once, each token of a batch taking 10 ms."""
    clock = Clock()

    def take(batch: Sequence[int]) -> Sequence[int]:
        clock.now += 0.01 * len(batch) * max(batch)
        return batch

    model = BatchedModel(take, lambda size: size)
    lane = Lane("test", model, limits, DeviceFailures(), lambda _: None, clock=clock)
    for size in (1, 2):  # so that it knows how long they take
        await asyncio.gather(*lane.admit([size]))
    await asyncio.gather(*lane.admit(sizes))
    clock.now += idle_s
    found = lane.binding_limit("batch_tokens")
    lane.close()
    return None if found is None else found.limit


@pytest.mark.parametrize(
    ("limits", "sizes", "limit"),
    [
        (BatchLimits(max_items=2, max_seconds=99), [3] * 20, "batch_items"),
        (BatchLimits(max_volume=9, max_seconds=99), [3] * 20, "batch_tokens"),
        (BatchLimits(max_seconds=0.1), [3] * 20, "batch_time"),
        (BatchLimits(max_seconds=99), [3] * 20, "forward_time"),  # one batch takes all
    ],
)
async def test_a_busy_lane_is_bound_by_what_its_batches_are_full_of(
    limits: BatchLimits, sizes: list[int], limit: str
) -> None:
    assert await bound(limits, sizes) == limit


async def test_a_lane_with_time_left_is_bound_by_nothing() -> None:
    assert await bound(BatchLimits(max_items=2), [3] * 20, idle_s=5) is None


def test_an_empty_queue_binds_nothing() -> None:
    assert of_batches(0.0, 0, [], "batch_tokens") is None
    assert of_slots(0, 0, 4, None) is None


@pytest.mark.parametrize(
    ("running", "waiting", "starved_by", "limit"),
    [
        (4, 3, "slots", "slots"),
        (2, 3, "kv_cache", "kv_cache"),
        (2, 1, None, "forward_time"),  # it has come since the last step
        (2, 0, None, "forward_time"),
    ],
)
def test_a_text_generator_is_bound_by_what_its_waiting_sequences_lack(
    running: int, waiting: int, starved_by: str, limit: str
) -> None:
    found = of_slots(running, waiting, 4, starved_by)  # type: ignore[arg-type]
    assert found is not None
    assert found.limit == limit
    assert found.why.startswith(f"{running} of 4 slots are in use")


def test_slow_forwards_on_busy_cores_are_bound_by_the_cores() -> None:
    def limit(cores_busy: float | None) -> str:
        (found,) = of_replica([SLOW], refused_calls=0, cores_busy=cores_busy, scaling=None)
        return found.limit

    assert limit(0.95) == "cpu"
    assert limit(0.5) == limit(None) == "forward_time"


def test_calls_that_were_sent_back_bind_only_where_the_model_has_time_left() -> None:
    idle, slow = (
        of_replica(models, refused_calls=3, cores_busy=0.1, scaling=None)
        for models in ([None], [SLOW])
    )
    assert [each.limit for each in idle] == ["queue"]
    assert [each.limit for each in slow] == ["forward_time"]


def test_calls_that_were_sent_back_bind_a_text_generator_with_free_slots() -> None:
    def limits(*running: int) -> list[str]:
        models = [of_slots(each, 0, 16, None) for each in running]
        return [
            each.limit for each in of_replica(models, refused_calls=3, cores_busy=1.0, scaling=None)
        ]

    assert limits(4) == limits(4, 8) == ["queue"]
    assert limits(16) == limits(4, 16) == ["cpu"]


def test_more_replicas_than_may_be_are_a_limit_beside_the_first() -> None:
    found = of_replica([SLOW], refused_calls=0, cores_busy=0.1, scaling=NEEDS_FIVE)
    assert [each.limit for each in found] == ["forward_time", "replicas"]
    assert found[1].why == "5 replicas are needed, max_replicas is 2 (much waits)"


def test_a_need_of_the_past_does_not_bind_a_replica_with_time_left() -> None:
    assert of_replica([None], refused_calls=0, cores_busy=0.1, scaling=NEEDS_FIVE) == ()


def test_every_limit_has_a_setting_to_turn() -> None:
    assert set(SETTINGS) == set(LIMITS)


async def test_the_ledger_says_what_binds_each_family_and_what_to_turn() -> None:
    clock = Clock()
    ledger = Ledger(LedgerConfig(frozenset({"m"}), frozenset({"t"})), clock)
    full, kv = BindingLimit("slots", "4 of 4"), BindingLimit("kv_cache", "no room")
    done = (FinishedRequest("m", "t", True, 1.0),)
    await ledger.add(MetricReport("a", 1, (), done, (), FamilyLimits("text", (full,))))
    await ledger.add(MetricReport("b", 1, (), (), (), FamilyLimits("text", (full, kv), NEEDS_FIVE)))
    await ledger.add(MetricReport("c", 1, (), (), (), FamilyLimits("vectors")))
    performance = await ledger.performance()
    assert performance is not None
    assert list(performance.binding_limits) == ["text", "vectors"]
    slots, cache = performance.binding_limits["text"].limits
    assert (slots.limit, slots.replicas, slots.why) == ("slots", 2, "4 of 4")
    assert slots.setting == SETTINGS["slots"]
    assert (cache.limit, cache.replicas) == ("kv_cache", 1)
    assert performance.binding_limits["text"].scaling == NEEDS_FIVE
    assert performance.binding_limits["vectors"].limits == ()
    clock.now += GAUGES_LIVE_S + 1
    performance = await ledger.performance()
    assert performance is not None
    assert performance.binding_limits == {}


async def test_the_metric_counts_the_replicas_for_which_a_limit_binds() -> None:
    ledger = Ledger(LedgerConfig(frozenset(), frozenset()))
    for replica, amount in (("a", 1), ("b", 1), ("c", 0)):
        gauge = signals.BINDING_LIMIT.of("text", "slots", amount=amount)
        await ledger.add(MetricReport(replica, 1, gauges=(gauge,)))
    text = (await ledger.exposition("")).body.decode()
    (family,) = [
        each for each in text_string_to_metric_families(text) if each.name.endswith("binding_limit")
    ]
    (sample,) = family.samples
    assert sample.labels == {"family": "text", "limit": "slots"}
    assert sample.value == 2
