"""What a replica knows of the decision on the number of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from ray.exceptions import GetTimeoutError

from configs.scaling import SERVES_POLICY
from deployments.models.decision_follower import MAX_AGE_S, DecisionFollower
from deployments.seam.scaling import ScalingDecision, ScalingDecisions
from tests.deployments.models.scaled_replica import in_scaled_replica


def decision(at: float) -> ScalingDecision:
    return ScalingDecision(5, "queue", "much waits", 2, 2, 1, 2, at)


def stored(monkeypatch: pytest.MonkeyPatch, get: Callable[[], ScalingDecision | None]) -> None:
    """Have the key-value store answer so, for the deployment of this replica."""
    texts = {"Family": get}
    monkeypatch.setattr(ScalingDecisions, "get", lambda _, deployment: texts[deployment]())


async def followed(follower: DecisionFollower) -> ScalingDecision | None:
    follower.follow()
    assert follower._reading is not None
    await asyncio.wait([follower._reading])
    return follower.decision


async def test_a_replica_knows_the_last_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    in_scaled_replica(monkeypatch)
    stored(monkeypatch, lambda: decision(at=1.0))
    follower = DecisionFollower(lambda: 2.0)
    assert follower.decision is None
    assert await followed(follower) == decision(at=1.0)


@pytest.mark.parametrize("error", [GetTimeoutError("away"), AttributeError("not initialised")])
async def test_a_decision_that_cannot_be_read_is_logged_and_the_next_one_is_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def away() -> ScalingDecision:
        raise error

    in_scaled_replica(monkeypatch)
    stored(monkeypatch, away)
    follower = DecisionFollower(lambda: 2.0)
    assert await followed(follower) is None
    assert "the decision on replicas cannot be read" in caplog.text
    stored(monkeypatch, lambda: decision(at=1.0))
    assert await followed(follower) == decision(at=1.0)


async def test_a_decision_of_the_past_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1.0 + MAX_AGE_S
    in_scaled_replica(monkeypatch)
    stored(monkeypatch, lambda: decision(at=1.0))
    follower = DecisionFollower(lambda: now)
    assert await followed(follower) == decision(at=1.0)
    now += 1
    assert follower.decision is None
    assert await followed(follower) is None


@pytest.mark.parametrize("policy", [SERVES_POLICY, None])
async def test_where_load_policy_does_not_scale_the_deployment_a_decision_that_is_left_is_none(
    monkeypatch: pytest.MonkeyPatch, policy: str | None
) -> None:
    stored(monkeypatch, lambda: decision(at=1.0))
    follower = DecisionFollower(lambda: 2.0)
    in_scaled_replica(monkeypatch)
    assert await followed(follower) == decision(at=1.0)
    in_scaled_replica(monkeypatch, policy)
    assert await followed(follower) is None


async def test_outside_of_a_cluster_there_is_none() -> None:
    assert await followed(DecisionFollower()) is None
