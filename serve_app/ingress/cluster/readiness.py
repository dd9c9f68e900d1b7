"""Readiness of the graph, as Serve's controller reports it. No replica is called or started."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from ray import serve

logger = logging.getLogger(__name__)

MAX_AGE_S = 1.0
TIMEOUT_S = 3.0
"""How long a probe waits for the controller; load balancers give up after five to ten seconds."""

READY_DEPLOYMENT = frozenset({"HEALTHY", "UPSCALING", "DOWNSCALING"})


@dataclass(frozen=True, slots=True)
class GraphState:
    """Whether the graph can answer, and the status of each deployment; ``reason`` if unknown."""

    ready: bool
    deployments: dict[str, str]
    reason: str | None = None


NO_ANSWER = GraphState(ready=False, deployments={}, reason="Serve's controller does not answer")


class Readiness(Protocol):
    async def state(self) -> GraphState: ...


class ServeReadiness:
    """Queries Serve's controller, at most once a second.

    When the controller does not answer within ``TIMEOUT_S``, the graph is not ready. Probes that
    arrive while the controller is queried share one thread.
    """

    def __init__(self) -> None:
        self._state = GraphState(ready=False, deployments={})
        self._answered_at = float("-inf")
        self._pending: asyncio.Future[GraphState] | None = None

    async def state(self) -> GraphState:
        if time.monotonic() - self._answered_at <= MAX_AGE_S:
            return self._state
        if self._pending is None:
            name = serve.get_replica_context().app_name
            self._pending = asyncio.ensure_future(asyncio.to_thread(_application_state, name))
            self._pending.add_done_callback(self._done)
        pending = self._pending
        await asyncio.wait({pending}, timeout=TIMEOUT_S)
        return self._state if pending.done() else NO_ANSWER

    def _done(self, answer: asyncio.Future[GraphState]) -> None:
        self._pending = None
        self._answered_at = time.monotonic()
        if answer.cancelled():
            self._state = NO_ANSWER
        elif error := answer.exception():
            logger.warning("Serve's controller did not report the deployments", exc_info=error)
            self._state = NO_ANSWER
        else:
            self._state = answer.result()


def _application_state(name: str) -> GraphState:
    application = serve.status().applications.get(name)
    if application is None:
        return GraphState(ready=False, deployments={})
    deployments = {key: str(d.status.value) for key, d in application.deployments.items()}
    ready = bool(deployments) and READY_DEPLOYMENT.issuperset(deployments.values())
    return GraphState(ready, deployments)
