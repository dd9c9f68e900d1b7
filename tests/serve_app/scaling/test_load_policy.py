"""The autoscaling policy, called as Serve's controller calls it: on the reports of replicas."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ray import cloudpickle
from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from configs.scaling import POLICY
from deployments.seam.scaling import AutoscalingStats, ScalingDecision
from serve_app.scaling.load_policy import LoadPolicy

NOW = 1_000_000.0
ID = DeploymentID("Family", "prsm")
IDLE = AutoscalingStats(
    slots=0.0, kv_cache=0.0, queue=0.0, busy=0.0, target_queue_s=0.5, max_ongoing_requests=64.0
)


def busy(**load: float) -> dict[str, float]:
    return {**IDLE, **load}  # type: ignore[dict-item]


class Store:
    """The decisions that the policy wrote."""

    def __init__(self) -> None:
        self.written: list[ScalingDecision] = []

    def __call__(self, application: str) -> Store:
        assert application == "prsm"
        return self

    def put(self, deployment: str, decision: ScalingDecision) -> None:
        assert deployment == "Family"
        self.written.append(decision)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr("serve_app.scaling.load_policy.ScalingDecisions", made)
    return made


def asked(
    *replicas: Mapping[str, float] | None,
    requests: float = 0.0,
    target: int | None = None,
    age: float = 1.0,
    at: float = NOW,
    state: dict[str, Any] | None = None,
    **scaling: Any,
) -> AutoscalingContext:
    """What Serve asks: the stats of each running replica, ``None`` of one that has not reported."""
    reports: dict[str, dict[ReplicaID, list[TimeStampedValue]]] = {}
    ids = [ReplicaID(f"r{i}", ID) for i in range(len(replicas))]
    for replica, stats in zip(ids, replicas, strict=True):
        for name, value in (stats or {}).items():
            reports.setdefault(name, {})[replica] = [TimeStampedValue(at - age, value)]
    means = {name: {r: s[-1].value for r, s in each.items()} for name, each in reports.items()}
    config = AutoscalingConfig(**({"max_replicas": 8} | scaling))
    return AutoscalingContext(
        deployment_id=ID,
        deployment_name="Family",
        app_name="prsm",
        current_num_replicas=len(replicas),
        target_num_replicas=len(replicas) if target is None else target,
        running_replicas=ids,
        total_num_requests=requests,
        total_queued_requests=0.0,
        aggregated_metrics=means,
        raw_metrics=reports,
        capacity_adjusted_min_replicas=config.min_replicas,
        capacity_adjusted_max_replicas=config.max_replicas,
        policy_state=state or {},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=at,
        config=config,
    )


@pytest.mark.parametrize(
    ("replicas", "requests", "needed", "measure"),
    [
        ([busy(slots=1.0)], 16, 1.25, "slots"),  # all slots are taken, and nothing waits yet
        ([busy(slots=3.0)], 48, 3.75, "slots"),
        ([busy(slots=0.5, kv_cache=1.2)], 8, 1.5, "kv_cache"),
        ([busy(queue=3.0), busy(queue=1.0)], 30, 4.0, "queue"),
        ([busy(queue=0.2)], 128, 2.5, "requests"),  # as many as the replica takes, and more wait
        ([busy(queue=0.2, busy=1.0)], 8, 0.2, "queue"),
        ([busy(queue=0.1, busy=0.9)] * 3, 9, 3.0, "busy"),  # as busy as they may be: none is idle
        ([busy(queue=0.1, busy=0.4)] * 3, 9, 1.5, "busy"),
        ([busy()] * 3, 0, 0.0, "none"),
        ([busy(slots=0.001)] * 3, 0, 0.01, "slots"),  # not nothing
        ([busy()], 0.05, 0.01, "requests"),
    ],
)
def test_the_greatest_of_the_measured_needs_decides(
    replicas: list[dict[str, float]], requests: float, needed: float, measure: str
) -> None:
    found, by, _ = LoadPolicy().decide(asked(*replicas, requests=requests))
    assert found == pytest.approx(needed)
    assert by == measure


def test_being_busy_keeps_replicas_and_starts_none() -> None:
    """A forward may always run for one client alone, and more replicas would not help it."""
    needed, measure, _ = LoadPolicy().decide(asked(busy(busy=1.0, queue=0.3), requests=1))
    assert (needed, measure) == (0.3, "queue")


def test_being_busy_keeps_no_more_replicas_than_are_to_be() -> None:
    """Replicas that are being replaced run beside the new ones."""
    context = asked(busy(busy=1.0, queue=0.2), busy(), target=1)
    assert LoadPolicy().decide(context)[:2] == (1.0, "busy")
    context = asked(busy(busy=1.0, queue=1.3), busy(busy=1.0), busy(busy=1.0), target=1)
    assert LoadPolicy().decide(context)[:2] == (1.3, "queue")


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (
            asked(busy(slots=2.4), requests=40),
            "sequences that run or wait would fill the slots of 2.40 replicas: 3 replicas, 80% "
            "filled",
        ),
        (
            asked(busy(queue=3.0), busy(queue=1.0)),
            "work of 2.00 s waits, and 0.5 s may for each: 4 replicas",
        ),
        (
            asked(busy(), requests=128),
            "128.0 requests run or wait, and 64 fill a replica: 2.5 replicas, 80% filled",
        ),
        (
            asked(busy(queue=1.0)),
            "work of 0.50 s waits, and 0.5 s may for each: 1 replica",
        ),
        (asked(busy()), "nothing runs or waits"),
        (asked(), "no replica runs: it sleeps"),
        (asked(target=1), "no replica runs: a replica starts"),
    ],
)
def test_every_decision_has_a_reason_with_its_numbers(
    context: AutoscalingContext, why: str
) -> None:
    assert LoadPolicy().decide(context)[2] == why


@pytest.mark.parametrize(
    ("context", "needed", "why"),
    [
        (asked(None, requests=6), 3.0, "no replica has reported its load yet"),
        (asked(busy(slots=9.0), requests=6, age=60), 3.0, "was last reported 60 s ago"),
        (asked({"own": 3.0}, requests=2), 1.0, "no replica has reported its load yet"),
    ],
)
def test_serves_own_policy_decides_where_stats_are_missing_or_old(
    context: AutoscalingContext, needed: float, why: str
) -> None:
    found, measure, told = LoadPolicy().decide(context)
    assert (found, measure) == (needed, "serve")
    assert why in told
    assert told.endswith("requests, target_ongoing_requests 2)")


def test_a_replica_that_has_just_started_has_no_load_of_its_own() -> None:
    """Else the first backlog would start replicas without end."""
    context = asked(busy(queue=3.0), None, None, None)
    assert LoadPolicy().decide(context)[0] == 3.0


def test_a_share_of_the_slots_can_be_chosen() -> None:
    assert LoadPolicy(target_load=0.5).decide(asked(busy(slots=1.0)))[0] == 2.0
    with pytest.raises(ValueError, match="target_load: expected more than 0 and at most 1"):
        LoadPolicy(target_load=1.5)


def test_a_decision_stands_for_a_second_and_less_if_replicas_come_or_go() -> None:
    policy = LoadPolicy()
    assert policy(asked(busy(slots=1.6)))[0] == 2.0
    assert policy(asked(busy(slots=8.0), at=NOW + 0.5))[0] == 2.0
    assert policy(asked(busy(slots=8.0), at=NOW + 0.6, target=2))[0] == 10.0
    assert policy(asked(busy(), at=NOW + 2, target=2))[0] == 0.0


def test_decisions_are_written_when_they_change_and_else_every_ten_seconds(store: Store) -> None:
    policy = LoadPolicy()
    for second in range(25):
        policy(asked(busy(slots=1.5 + second / 1000), at=NOW + second))
    policy(asked(busy(slots=8.0), requests=4, at=NOW + 25))
    assert [each.at - NOW for each in store.written] == [0, 10, 20, 25]
    last = store.written[-1]
    assert (last.needed, last.running, last.target, last.max_replicas) == (10, 1, 1, 8)
    assert last.measure == "slots"


def test_a_store_that_cannot_be_reached_stops_no_controller(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(deployment: str, decision: ScalingDecision) -> None:
        raise ConnectionError

    monkeypatch.setattr(store, "put", refuse)
    policy = LoadPolicy()
    assert policy(asked(busy(slots=1.6)))[0] == 2.0
    assert policy(asked(busy(slots=3.2), at=NOW + 2))[0] == 4.0
    assert caplog.text.count("cannot be written") == 1


def served(**scaling: Any) -> Callable[[AutoscalingContext], tuple[float, dict[str, Any]]]:
    """The profile's policy as Serve's controller makes it of its configuration."""
    config = AutoscalingConfig(max_replicas=8, policy=POLICY, **scaling)
    policy = cloudpickle.loads(pickle.loads(pickle.dumps(config.policy._serialized_policy_def)))
    assert policy.__name__ == "LoadPolicy"
    return _apply_autoscaling_config(LoadPolicy(**config.policy.policy_kwargs))


def test_serve_applies_its_delays_to_the_policy() -> None:
    scale = served()
    delays: dict[str, Any] = {"upscale_delay_s": 0.2, "downscale_delay_s": 3600.0}
    context = asked(busy(slots=3.2), **delays)
    needed, state = scale(context)
    assert needed == 1  # at first
    state = {**state, "__decision_timestamp": state["__decision_timestamp"] - 1}
    assert scale(asked(busy(slots=3.2), state=state, at=NOW + 1, **delays))[0] == 4
    assert scale(asked(busy(), busy(), at=NOW + 9, **delays))[0] == 2


def test_serve_starts_the_first_replica_of_a_family_that_sleeps_at_once() -> None:
    assert served()(asked(requests=1, min_replicas=0))[0] == 1
    assert served()(asked(requests=0, min_replicas=0))[0] == 0
