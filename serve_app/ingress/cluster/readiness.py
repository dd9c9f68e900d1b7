"""Whether the graph can answer, as Serve's controller sees it: no replica is called or woken."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from ray import serve

logger = logging.getLogger(__name__)

FRESH_S = 1.0
PATIENCE_S = 3.0
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
    """Asks Serve's controller, at most once a second however often it is asked itself.

    A controller that is away or hangs makes the graph unready within ``PATIENCE_S``. It is asked
    once until it answers: however many probes come meanwhile, they wait for that one thread.
    """

    def __init__(self) -> None:
        self._state = GraphState(ready=False, deployments={})
        self._asked = float("-inf")
        self._asking: asyncio.Future[GraphState] | None = None

    async def state(self) -> GraphState:
        if time.monotonic() - self._asked <= FRESH_S:
            return self._state
        if self._asking is None:
            name = serve.get_replica_context().app_name
            self._asking = asyncio.ensure_future(asyncio.to_thread(_application_state, name))
            self._asking.add_done_callback(self._answered)
        asking = self._asking
        await asyncio.wait({asking}, timeout=PATIENCE_S)
        return self._state if asking.done() else NO_ANSWER

    def _answered(self, asking: asyncio.Future[GraphState]) -> None:
        self._asking = None
        self._asked = time.monotonic()
        if asking.cancelled():
            self._state = NO_ANSWER
        elif error := asking.exception():
            logger.warning("the controller did not say how its deployments are", exc_info=error)
            self._state = NO_ANSWER
        else:
            self._state = asking.result()


def _application_state(name: str) -> GraphState:
    application = serve.status().applications.get(name)
    if application is None:
        return GraphState(ready=False, deployments={})
    deployments = {key: str(d.status.value) for key, d in application.deployments.items()}
    ready = bool(deployments) and READY_DEPLOYMENT.issuperset(deployments.values())
    return GraphState(ready, deployments)
