"""Whether the graph can answer, as Serve's controller sees it: no replica is called or woken."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from ray import serve

FRESH_S = 1.0
READY_DEPLOYMENT = frozenset({"HEALTHY", "UPSCALING", "DOWNSCALING"})


@dataclass(frozen=True, slots=True)
class State:
    """``ready`` and, for each deployment, Serve's word for its state."""

    ready: bool
    deployments: dict[str, str]


class Readiness(Protocol):
    async def state(self) -> State: ...


class ServeReadiness:
    """Asks Serve's controller, at most once a second however often it is asked itself."""

    def __init__(self) -> None:
        self._state = State(ready=False, deployments={})
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def state(self) -> State:
        async with self._lock:
            if time.monotonic() - self._asked > FRESH_S:
                name = serve.get_replica_context().app_name
                self._state = await asyncio.to_thread(_application_state, name)
                self._asked = time.monotonic()
            return self._state


def _application_state(name: str) -> State:
    application = serve.status().applications.get(name)
    if application is None:
        return State(ready=False, deployments={})
    deployments = {key: str(d.status.value) for key, d in application.deployments.items()}
    ready = bool(deployments) and READY_DEPLOYMENT.issuperset(deployments.values())
    return State(ready, deployments)
