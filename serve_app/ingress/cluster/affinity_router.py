"""Chooses the replica of a call: one that holds the model, and the one that knows the prompt.

Serve makes a router in every process that has a handle, and pickles this module by value: it
imports no model framework, and has no state of its own.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

from ray.serve._private.common import RequestMetadata
from ray.serve.request_router import (
    LocalityMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from configs.routers import IMBALANCES
from deployments.seam.call_context import ContextualCall
from serve_app.ingress.cluster.affinity_key import affinity_key
from serve_app.ingress.cluster.model_locations import ModelLocations


class AffinityRouter(LocalityMixin, RequestRouter):
    """Serve's request router for model families.

    The candidates are the replicas that hold the model, else those that are loading it. If there
    are none, the model's name chooses the replica that loads it. Among the candidates the
    request's affinity key chooses by rendezvous hashing, which needs no table: every router
    chooses the same, and only the sessions of a lost replica move. A request without a key goes to
    the shorter queue of two random candidates.

    Queue lengths, backoff and lost replicas are the base class's. Unlike Serve's default router, a
    replica is always given to the request that it was chosen for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._locations = ModelLocations[ReplicaID]()
        self._waiting: dict[int, PendingRequest] = {}
        self.initialize_state()

    def initialize_state(self, **kwargs: int) -> None:
        """Take Serve's ``request_router_kwargs``: some of ``configs.routers.IMBALANCES``."""
        imbalances = IMBALANCES | kwargs
        self._session_imbalance = imbalances["session_imbalance"]
        self._load_imbalance = imbalances["load_imbalance"]

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Take the running replicas, also when only their routing stats changed."""
        self._locations.update(
            {each.replica_id: each.routing_stats for each in replicas},
            {each.replica_id: each.replica_metadata.get("pinned", ()) for each in replicas},
        )
        super().update_replicas(replicas)

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """A replica has accepted a request."""
        model = _model_of(_request_of(pending_request))
        if model is not None:
            self._locations.sent(model, replica_id)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The replicas to try, best rank first; in a rank the shortest queue wins.

        All replicas are in the last rank, but only once those that hold the model were all full.
        """
        if pending_request is None:
            return [_two_of(candidate_replicas)]
        near = self.apply_locality_routing(pending_request)
        context = pending_request.routing_context
        context.should_backoff = True
        if len(candidate_replicas) == 1:
            return [candidate_replicas]
        request = _request_of(pending_request)
        model = _model_of(request)
        if model is None:
            return [_two_of(_those(near, candidate_replicas)), _two_of(candidate_replicas)]
        ranks = self._ranks(model, affinity_key(request), candidate_replicas, near)
        if context.tried_first_multiplexed_models:
            ranks.append(_two_of(candidate_replicas))
        context.tried_first_multiplexed_models = True
        return ranks

    def _ranks(
        self, model: str, key: bytes | None, replicas: list[RunningReplica], near: set[ReplicaID]
    ) -> list[list[RunningReplica]]:
        """Ranks of the replicas that hold ``model``, or of those that shall load it."""
        loaded = _those(self._locations.loaded(model), replicas)
        loading = _those(self._locations.loading(model), replicas)
        holders = loaded or loading
        if not holders:
            return [self._by_hash(model.encode(), replicas, self._load_imbalance)]
        if not loading and (relief := self._relief(model, loaded, replicas)):
            return [relief]
        two = _two_of(_those(near, holders) or holders)
        if key is None:
            return [two]
        return [self._by_hash(key, holders, self._session_imbalance), two]

    def _relief(
        self, model: str, loaded: list[RunningReplica], replicas: list[RunningReplica]
    ) -> list[RunningReplica]:
        """A replica that should load ``model`` too, beside the best of those that have it.

        Empty unless even the shortest queue of those is much longer than the other's.
        """
        others = [each for each in replicas if each not in loaded]
        if not others:
            return []
        best = min(loaded, key=self._queue_len)
        other = self._by_hash(model.encode(), others, self._load_imbalance)[-1]
        busier = self._queue_len(best) - self._queue_len(other)
        return [best, other] if busier > self._load_imbalance else []

    def _by_hash(
        self, key: bytes, replicas: Sequence[RunningReplica], imbalance: int
    ) -> list[RunningReplica]:
        """The replica of ``key``. If its queue is too long, also the next one whose queue is not.

        If the length of that queue is unknown, the first one is taken while Serve asks for it.
        """
        score = {each: _score(key, each) for each in replicas}
        first = max(score, key=score.__getitem__)
        queues = [self._queue_len(each) for each in replicas]
        bound = min(queues) + imbalance
        if self._queue_len(first) <= bound:
            return [first]
        balanced = [each for each, queue in zip(replicas, queues, strict=True) if queue <= bound]
        return [first, max(balanced, key=score.__getitem__)]

    def _queue_len(self, replica: RunningReplica) -> int:
        """Running and queued requests, as far as this router knows."""
        return self.replica_queue_len_cache.get(replica.replica_id) or 0

    # Handle calls of one HTTP request share its internal id, by which the base class would find
    # the pending request: it would lose all but one of those that wait at the same time.

    def _add_pending_request_to_indices(self, pending_request: PendingRequest) -> None:
        self._waiting[id(pending_request.metadata)] = pending_request

    def _remove_pending_request_from_indices(self, pending_request: PendingRequest) -> None:
        self._waiting.pop(id(pending_request.metadata), None)

    def _get_pending_request_matching_internal_request_id(
        self, request_metadata: RequestMetadata | None = None
    ) -> PendingRequest | None:
        found = self._waiting.get(id(request_metadata))
        return None if found is None or found.future.done() else found


def _request_of(pending_request: PendingRequest) -> Any:
    request = pending_request.args[0] if pending_request.args else None
    return request.request if isinstance(request, ContextualCall) else request


def _model_of(request: Any) -> str | None:
    """The name of the model that a request is for, if it names one."""
    model = getattr(request, "model", None)
    return model if isinstance(model, str) else None


def _those(ids: Collection[ReplicaID], replicas: Sequence[RunningReplica]) -> list[RunningReplica]:
    """The replicas with these ids. The router may know more of them than still run."""
    return [each for each in replicas if each.replica_id in ids]


def _two_of(replicas: Sequence[RunningReplica]) -> list[RunningReplica]:
    return random.sample(replicas, min(2, len(replicas)))


def _score(key: bytes, replica: RunningReplica) -> bytes:
    """The weight of ``replica`` for ``key`` (rendezvous hashing, Thaler and Ravishankar 1998)."""
    return blake2b(key, key=replica.replica_id.unique_id.encode()[:64], digest_size=8).digest()
