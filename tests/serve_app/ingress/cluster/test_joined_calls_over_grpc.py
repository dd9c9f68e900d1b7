"""Joined calls over gRPC: they travel together, and end with their replica or their caller."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.errors import Unavailable
from tests.serve_app.grpc_replica import GrpcHandle, replicas_of
from tests.serve_app.ingress.cluster.echo_family import Echo, asking, joined
from tests.serve_app.local_handle import PATIENCE_S, happens


def over(handle: GrpcHandle, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"texts": handle}, timeout_s, joined=["texts"])


async def test_over_grpc_calls_that_come_while_another_is_in_flight_travel_together() -> None:
    family = Echo()
    family.hold("slow")
    async with replicas_of(family) as (handle, _):
        calls = over(handle)
        (slow,) = asking(calls, "slow")
        await happens(family.began["slow"])
        texts = [f"text {n}" for n in range(5)]
        assert await asyncio.gather(*asking(calls, *texts)) == texts
        family.release("slow")
        assert await slow == "slow"
    assert family.sizes == [5]


async def test_calls_whose_replica_ends_are_tried_again_each_alone() -> None:
    first, second = Echo(), Echo()
    first.hold("a", "b", "c")
    async with replicas_of(Echo(), first, second) as (handle, replicas):
        tasks = joined(over(handle), "a", "b", "c")
        await happens(first.began["c"])
        await replicas[1].end()
        assert await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S) == ["a", "b", "c"]
    assert first.sizes == [3]
    assert second.sizes == []


async def test_a_call_that_loses_a_second_replica_is_a_503() -> None:
    families = [Echo(), Echo(), Echo()]
    for family in families[:2]:
        family.hold("a")
    async with replicas_of(Echo(), *families) as (handle, replicas):
        (task,) = joined(over(handle), "a")
        for family, replica in zip(families[:2], replicas[1:], strict=False):
            await happens(family.began["a"])
            await replica.end()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(task, PATIENCE_S)
    assert families[2].asked == []


async def test_over_grpc_the_last_caller_that_leaves_stops_the_work() -> None:
    family = Echo()
    family.hold("a")
    async with replicas_of(family) as (handle, _):
        (task,) = joined(over(handle), "a")
        await happens(family.began["a"])
        task.cancel()
        await happens(family.ended)
    assert family.stopped == ["a"]
