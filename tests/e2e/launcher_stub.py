"""A graph without models, for tests of the launcher."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from fastapi import FastAPI
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.handle import DeploymentHandle
from starlette.responses import StreamingResponse

api = FastAPI()


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Shout:
    """Stands for a model."""

    async def __call__(self, text: str) -> str:
        return text.upper()


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
@serve.ingress(api)
class Ingress:
    """The ingress."""

    def __init__(self, shout: DeploymentHandle[Any]) -> None:
        self._shout = shout

    @api.get("/health/readiness")
    async def readiness(self) -> str:
        return "ready"

    @api.get("/ticks")
    async def ticks(self, seconds: int) -> StreamingResponse:
        """Stream a number each second."""

        async def counted() -> AsyncIterator[bytes]:
            for number in range(seconds):
                yield f"{number}\n".encode()
                await asyncio.sleep(1)

        return StreamingResponse(counted(), media_type="text/plain")

    @api.get("/shout")
    async def shout(self, text: str) -> str:
        return str(await self._shout.remote(text))


@serve.deployment
class Broken:
    """A deployment whose replicas fail."""

    def __init__(self) -> None:
        raise RuntimeError("no weights here")


def build(args: dict[str, Any]) -> Application:
    """The graph; with `broken` it is one that fails."""
    broken, ingress, shout = (cast("Deployment", each) for each in (Broken, Ingress, Shout))
    return broken.bind() if args.get("broken") else ingress.bind(shout.bind())
