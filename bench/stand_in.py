"""The ingress alone under uvicorn, before a stand-in of a text generator: what refusals cost.

    python -m bench.stand_in PORT STEP_MS

There is no Ray, and no model: a stand-in has 16 slots and decodes a token a step for those that
came first. So `bench.overload` measures only the ingress with it, on a machine with few cores.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import uvicorn

from bench.streams import PROFILE
from configs.profile_file import load_profile
from configs.settings import Settings
from deployments.models.call_receiver import CallReceiver
from deployments.seam.call_context import ContextualCall
from deployments.seam.generation import GeneratedSequence, GenerationRequest, GenerationResult
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.readiness import GraphState
from serve_app.ingress.front.front import Front
from serve_app.ingress.routes.context import Services

SLOTS = 16
FAMILY = "generation"


class StandInGeneration(CallReceiver):
    """Decodes at most ``SLOTS`` texts at a time, those that came first."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._left: dict[asyncio.Future[None], int] = {}
        self._decoding: asyncio.Task[None] | None = None

    async def generate(self, request: GenerationRequest) -> GenerationResult:
        tokens = request.max_new_tokens or SLOTS
        done = asyncio.get_running_loop().create_future()
        self._left[done] = tokens
        if self._decoding is None:
            self._decoding = asyncio.create_task(self._decode())
        try:
            await done
        finally:
            self._left.pop(done, None)
        return GenerationResult(3, (GeneratedSequence("text", "length", tokens),))

    async def _decode(self) -> None:
        while self._left:
            await asyncio.sleep(self._step_s)
            for done in list(self._left)[:SLOTS]:
                self._left[done] -= 1
                if not self._left[done] and not done.done():
                    done.set_result(None)
        self._decoding = None


class StandInHandle:
    """As much of a deployment's handle as the ingress needs for calls that are not streamed."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def options(self, **_: Any) -> StandInHandle:
        return self

    def __getattr__(self, method: str) -> StandInMethod:
        return StandInMethod(getattr(self._family, method))


class StandInMethod:
    """A method of a handle."""

    def __init__(self, method: Callable[[ContextualCall], Coroutine[Any, Any, Any]]) -> None:
        self._method = method

    def remote(self, call: ContextualCall) -> StandInResponse:
        return StandInResponse(asyncio.ensure_future(self._method(call)))


class StandInResponse:
    """The answer of one call on its way."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, None, Any]:
        return self._task.__await__()

    def cancel(self) -> None:
        self._task.cancel()


class Ready:
    """A graph that is always ready."""

    async def state(self) -> GraphState:
        return GraphState(ready=True, deployments={})


def front(step_s: float) -> Front:
    """The ingress as Serve runs it, with the front outside."""
    profile = load_profile(PROFILE)
    families = tuple(each for each in profile.families if each.name == FAMILY)
    profile = profile.model_copy(update={"families": families})
    settings = Settings()
    handles = {FAMILY: StandInHandle(StandInGeneration(step_s))}
    client = DeploymentClient(handles, settings.request_timeout_s, parallel={FAMILY: SLOTS})
    services = Services(Catalog(profile, settings), client, settings, Ready())
    app = create_app(services, routers_of(profile), under_serve=True)
    return Front(app, app.state.policy)


if __name__ == "__main__":
    uvicorn.run(
        front(float(sys.argv[2]) / 1000),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
    )
