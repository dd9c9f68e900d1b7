"""The ledger shows the replicas of Serve's controller, and the last figures while it is away."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve._private.common import ReplicaState

from deployments.metrics import serve_replicas
from deployments.metrics.ledger import Ledger, LedgerConfig
from deployments.metrics.serve_replicas import MAX_AGE_S, ServeReplicas
from tests.deployments.metrics.test_ledger import Clock
from tests.serve_app.local_handle import PATIENCE_S


def application(wanted: int, *states: str, status: str = "HEALTHY") -> dict[str, Any]:
    replicas = [{"state": ReplicaState(state)} for state in states]  # as the controller gives it
    details = {"target_num_replicas": wanted, "replicas": replicas, "status": status}
    return {"deployments": {"Vision": details}}


async def shown(ledger: Ledger) -> set[str]:
    lines = (await ledger.exposition("")).body.decode().splitlines()
    return {
        line.partition("huggingface_")[2]
        for line in lines
        if "_replicas_" in line or line[0] != "#"
    }


def ledger_with(replicas: ServeReplicas) -> Ledger:
    return Ledger(LedgerConfig(frozenset(), frozenset()), replicas=replicas)


async def test_replicas_that_start_are_wanted_and_do_not_run() -> None:
    ledger = ledger_with(ServeReplicas(lambda: application(3, "RUNNING", "STARTING", "RUNNING")))
    assert {
        'replicas_wanted{deployment="Vision"} 3.0',
        'replicas_running{deployment="Vision"} 2.0',
    } <= await shown(ledger)


@pytest.mark.parametrize(
    ("status", "value"),
    [("HEALTHY", 0), ("UPDATING", 0), ("UNHEALTHY", 1), ("DEPLOY_FAILED", 1)],
)
async def test_a_deployment_that_failed_is_told(status: str, value: int) -> None:
    ledger = ledger_with(ServeReplicas(lambda: application(1, status=status)))
    lines = (await ledger.exposition("")).body.decode().splitlines()
    name = "prsm_huggingface_deployment_failed"
    assert f'{name}{{deployment="Vision"}} {value:.1f}' in lines


async def test_the_controller_is_asked_again_when_its_answer_is_old() -> None:
    answers = iter((application(1, "RUNNING"), application(2, "RUNNING")))
    clock = Clock()
    replicas = ServeReplicas(lambda: next(answers), clock)
    first = await replicas.gauges()
    assert await replicas.gauges() == first
    clock.now += MAX_AGE_S + 0.1
    assert [each.amounts for each in await replicas.gauges()] == [(2.0,), (1.0,), (0.0,)]


async def test_a_controller_that_is_away_leaves_the_last_figures() -> None:
    clock, failed = Clock(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fetch() -> dict[str, Any]:
        if clock.now == 0.0:
            return application(1, "RUNNING")
        loop.call_soon_threadsafe(failed.set)
        raise RayActorError

    replicas = ServeReplicas(fetch, clock)
    before = await replicas.gauges()
    clock.now += MAX_AGE_S + 0.1
    assert await replicas.gauges() == before != ()
    await asyncio.wait_for(failed.wait(), PATIENCE_S)


async def test_a_controller_that_hangs_does_not_hold_up_a_scrape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve_replicas, "TIMEOUT_S", 0.01)
    answer = threading.Event()

    def fetch() -> dict[str, Any]:
        answer.wait(PATIENCE_S)
        return application(1)

    replicas = ServeReplicas(fetch)
    assert await replicas.gauges() == ()
    answer.set()


async def test_without_serve_there_are_no_replicas() -> None:
    assert await ServeReplicas().gauges() == ()


async def test_the_versions_are_there_before_any_report() -> None:
    (build,) = (
        line
        for line in await shown(Ledger(LedgerConfig(frozenset(), frozenset())))
        if "build_info" in line
    )
    assert all(
        f'{name}="' in build for name in ("version", "ray", "transformers", "torch", "python")
    )
    assert build.endswith(" 1.0")
