"""Serve's own router with this project's choice, over fakes that tell their queue's length."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from ray.exceptions import ActorDiedError
from ray.serve._private.common import (
    DeploymentHandleSource,
    DeploymentID,
    ReplicaID,
    RequestMetadata,
)
from ray.serve.request_router import PendingRequest, RunningReplica

from deployments.seam.embeddings import EmbeddingRequest
from deployments.seam.generation import GenerationRequest
from serve_app.ingress.cluster.affinity_router import AffinityRouter

FAMILY = DeploymentID("Generation", "prsm")
MODEL = "house/fast"
BOUND_S = 20.0


class Replica:
    """A running replica, as a router sees it."""

    availability_zone = None

    def __init__(self, name: str, *models: str, node: str = "node-1", capacity: int = 100) -> None:
        self.replica_id = ReplicaID(name, FAMILY)
        self.node_id = node
        self.max_ongoing_requests = capacity
        self.routing_stats: dict[str, Any] = {"models": dict.fromkeys(models, "warm")}
        self.replica_metadata: dict[str, Any] = {}
        self.queue_len = 0
        self.is_dead = False

    @property
    def name(self) -> str:
        return self.replica_id.unique_id

    async def get_queue_len(self, *, deadline_s: float) -> int:
        if self.is_dead:
            raise ActorDiedError
        return self.queue_len


def three(*models: str) -> list[Replica]:
    return [Replica(name, *models) for name in ("a", "b", "c")]


class Routed:
    """A router over ``replicas``; ``one`` is the name of the replica that gets a request."""

    def __init__(self, replicas: Iterable[Replica], *, prefer_local: bool = False) -> None:
        self.router = AffinityRouter(
            deployment_id=FAMILY,
            handle_source=DeploymentHandleSource.REPLICA,
            use_replica_queue_len_cache=True,
            self_node_id="node-1",
            prefer_local_node_routing=prefer_local,
        )
        self.replicas = {each.name: each for each in replicas}
        self.update()

    def update(self) -> None:
        self.router.update_replicas(cast("list[RunningReplica]", list(self.replicas.values())))

    def set_queue(self, name: str, length: int) -> None:
        replica = self.replicas[name]
        replica.queue_len = length
        self.router.on_new_queue_len_info(replica.replica_id, length)

    async def one(self, *args: Any, internal_id: str = "i") -> str:
        pending = PendingRequest([*args], {}, RequestMetadata("r", internal_id))
        async with asyncio.timeout(BOUND_S):
            chosen = await self.router._choose_replica_for_request(pending)
        self.router.on_request_routed(pending, chosen.replica_id, cast("Any", None))
        return chosen.replica_id.unique_id

    async def spread(self, requests: Iterable[Any]) -> Counter[str]:
        return Counter([await self.one(each) for each in requests])


def chat(session: str, model: str = MODEL) -> GenerationRequest:
    return GenerationRequest("id-1", model, prompt="Hi", session=session)


def texts(model: str) -> EmbeddingRequest:
    return EmbeddingRequest(model, ("a red circle",))


def sessions(count: int, model: str = MODEL) -> list[GenerationRequest]:
    return [chat(f"s-{number}", model) for number in range(count)]
