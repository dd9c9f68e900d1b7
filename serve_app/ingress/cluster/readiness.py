"""Readiness of the graph, as Serve's controller reports it. No replica is called or started."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass, field, replace
from typing import Protocol

from ray import serve
from ray.serve._private.common import ReplicaState

from configs.serve_schema import INGRESS, LEDGER

logger = logging.getLogger(__name__)

MAX_AGE_S = 1.0
TIMEOUT_S = 3.0
"""How long a probe waits for the controller; load balancers give up after five to ten seconds."""

READY_DEPLOYMENT = frozenset({"HEALTHY", "UPSCALING", "DOWNSCALING"})
CANNOT_START = "REPLICA_STARTUP_FAILED"
"""Serve's trigger of a deployment's status when its replicas failed to start several times."""

NOT_LOADED = re.compile(r"The model \S+ could not be loaded: [^\n'\"]+\.")
"""What this service's replicas say of a pinned model, within Serve's message."""

BESIDE_FAMILIES = frozenset({INGRESS, LEDGER})


@dataclass(frozen=True, slots=True)
class GraphState:
    """Whether the graph can answer, and Serve's word for each deployment; ``reason`` if unknown.

    ``running`` counts the replicas that take requests. ``failures`` says why a deployment cannot
    answer: it has no such replica, and those that Serve started failed. It is in our words, since
    Serve's message has a traceback.
    """

    ready: bool
    deployments: dict[str, str]
    reason: str | None = None
    running: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def answers(self, deployment: str) -> bool:
        """Whether a request to a deployment is answered, if need be once a replica was woken."""
        if deployment in self.failures:
            return False
        runs = self.running.get(deployment, 0) > 0
        return runs or self.deployments.get(deployment) in READY_DEPLOYMENT


NO_ANSWER = GraphState(ready=False, deployments={}, reason="Serve's controller does not answer")


class Readiness(Protocol):
    async def state(self) -> GraphState: ...


class ServeReadiness:
    """Queries Serve's controller, at most once a second.

    When the controller does not answer within ``TIMEOUT_S``, the graph is not ready. Probes that
    arrive while the controller is queried share one thread.

    The graph is ready when the ingress and a family can answer. A family that cannot be started
    does not keep the others from it, nor does the ledger. One that is still being started does, but
    only until the graph was ready once: later it is a family that lost its replicas.
    """

    def __init__(self) -> None:
        self._state = GraphState(ready=False, deployments={})
        self._answered_at = float("-inf")
        self._pending: asyncio.Future[GraphState] | None = None
        self._was_ready = False

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
            self._state = self._judged(answer.result())

    def _judged(self, state: GraphState) -> GraphState:
        families = state.deployments.keys() - BESIDE_FAMILIES
        answering = {name for name in families if state.answers(name)}
        starting = families - answering - state.failures.keys()
        ready = state.answers(INGRESS) and bool(answering) and (self._was_ready or not starting)
        self._was_ready = self._was_ready or ready
        return replace(state, ready=ready)


def _application_state(name: str) -> GraphState:
    application = serve.status().applications.get(name)
    if application is None:
        return GraphState(ready=False, deployments={})
    found = application.deployments
    deployments = {name: str(each.status.value) for name, each in found.items()}
    running = {
        name: each.replica_states.get(ReplicaState.RUNNING, 0) for name, each in found.items()
    }
    failures = {
        name: _reason(each.message)
        for name, each in found.items()
        if running[name] == 0 and each.status_trigger.value == CANNOT_START
    }
    return GraphState(ready=False, deployments=deployments, running=running, failures=failures)


def _reason(message: str) -> str:
    told = NOT_LOADED.search(message)
    return told[0] if told else "Its replicas fail to start; their logs say why."
