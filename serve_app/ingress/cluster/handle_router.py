"""What Serve's router of a handle knows: the replicas, the queue's limit, the requests that run.

Serve has no public interface for this. Its router counts a list of joined calls as one request,
but autoscaling must see all of them.
"""

from __future__ import annotations

from typing import Any


class HandleRouter:
    """The router of one handle of Ray 2.60. Without one, as in tests, there is one replica."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._found: Any = None
        self._waiting: RunningCount | None = None

    @property
    def replicas(self) -> int:
        """The replicas that run, at least 1."""
        return max(1, len(self._running_replicas()))

    @property
    def is_running(self) -> bool:
        """Whether a replica runs that this process knows."""
        return bool(self._running_replicas())

    @property
    def max_queued_requests(self) -> int | None:
        """The deployment's ``max_queued_requests`` at this moment; ``None`` is no limit."""
        config = getattr(self._metrics, "_deployment_config", None)
        limit = -1 if config is None else int(config.max_queued_requests)
        return None if limit < 0 else limit

    @property
    def max_requests(self) -> int | None:
        """Requests that run in its replicas or wait for one, at most; ``None`` is no limit."""
        config, queued = (
            getattr(self._metrics, "_deployment_config", None),
            self.max_queued_requests,
        )
        if config is None or queued is None:
            return None
        return int(config.max_ongoing_requests) * self.replicas + queued

    def running(self, result: Any) -> RunningCount:
        """A count of further requests at the replica that gives ``result``."""
        actor = getattr(result, "_actor_id", None)
        replicas = self._running_replicas()
        ids = [key for key, replica in replicas.items() if replica.actor_id == actor]
        # Autoscaling adds up the counts of all replicas, so any replica will do.
        return RunningCount(self._metrics, next(iter([*ids, *replicas]), None))

    def has_left(self, response: Any) -> bool:
        """Whether the replica that answers has left: it stops, or it is gone with its node.

        ``response`` is a handle's. False before a replica was chosen for it.
        """
        actor = getattr(getattr(response, "_replica_result", None), "_actor_id", None)
        running = self._running_replicas().values()
        return actor is not None and all(replica.actor_id != actor for replica in running)

    def count_waiting(self, calls: int) -> None:
        """Count calls that wait in this process, by which Serve should scale too.

        They count as requests that run at any replica; while there is none they are not counted.
        """
        replicas = self._running_replicas()
        if self._waiting is None or self._waiting.replica not in replicas:
            if self._waiting is not None:
                self._waiting.set(0)
            self._waiting = RunningCount(self._metrics, next(iter(replicas), None))
        self._waiting.set(calls)

    @property
    def _router(self) -> Any:
        if self._found is None:  # a handle makes its router with the first call, and keeps it
            self._found = getattr(getattr(self._handle, "_router", None), "_asyncio_router", None)
        return self._found

    @property
    def _metrics(self) -> Any:
        return getattr(self._router, "_metrics_manager", None)

    def _running_replicas(self) -> Any:
        return getattr(getattr(self._router, "request_router", None), "curr_replicas", {})


class RunningCount:
    """Requests at a replica that Serve counts besides those that it has seen."""

    def __init__(self, metrics: Any, replica: Any) -> None:
        self._metrics = metrics
        self.replica = replica
        self._count = 0

    def set(self, count: int) -> None:
        if self._metrics is not None and self.replica is not None:
            for _ in range(count - self._count):
                self._metrics.inc_num_running_requests_for_replica(self.replica)
            for _ in range(self._count - count):
                self._metrics.dec_num_running_requests_for_replica(self.replica)
        self._count = count
