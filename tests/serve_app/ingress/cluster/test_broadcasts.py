"""Broadcasts: every replica answers for itself."""

from __future__ import annotations

from typing import Any

from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import DeadlineExceeded
from tests.serve_app.ingress.cluster.replica_calls import LOST, REQUEST, SECRET
from tests.serve_app.local_handle import (
    FOREVER,
    PATIENCE_S,
    Family,
    LocalBroadcast,
    LocalHandle,
    happens,
)


async def test_everywhere_is_every_replica_and_one_failure_hides_no_answer() -> None:
    replicas = [Family("one"), Family(RuntimeError(SECRET)), Family(LOST), Family("four")]
    handle = LocalHandle(Family(), replicas=replicas)
    made = DeploymentClient({"generation": handle}, PATIENCE_S)
    answers = await made.broadcast("generation", "generate", REQUEST, PATIENCE_S)
    assert [a if isinstance(a, str) else a.status for a in answers] == ["one", 500, 503, "four"]
    assert all(family.asked == [REQUEST] for family in replicas)


async def test_everywhere_waits_for_no_replica_that_hangs_and_stops_its_work() -> None:
    hanging = Family(FOREVER)
    handle = LocalHandle(Family(), replicas=[Family("one"), hanging])
    made = DeploymentClient({"generation": handle}, PATIENCE_S)
    one, late = await made.broadcast("generation", "generate", REQUEST, 0.05)
    assert one == "one"
    assert isinstance(late, DeadlineExceeded)
    await happens(hanging.stopped)


async def test_everywhere_is_nobody_where_no_replica_runs() -> None:
    made = DeploymentClient({"generation": LocalHandle(Family(), replicas=[])}, PATIENCE_S)
    assert await made.broadcast("generation", "generate", REQUEST, PATIENCE_S) == []


async def test_a_handle_that_cannot_broadcast_yet_is_an_answer_too() -> None:
    class Unready(LocalHandle):
        def options(self, *, stream: bool = False, **serialization: str) -> LocalHandle:
            return self

        def broadcast(self, method: str, request: Any) -> LocalBroadcast:
            raise RuntimeError(SECRET)

    made = DeploymentClient({"generation": Unready(Family("one"))}, PATIENCE_S)
    (answer,) = await made.broadcast("generation", "generate", REQUEST, PATIENCE_S)
    assert answer.status == 500
    assert SECRET not in answer.message
