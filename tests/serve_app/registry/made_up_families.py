"""Classes that are families and such as are none, and routers, for profiles to name."""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from serve_app.ingress.routes import entities
from serve_app.ingress.routes.native_router import NativeRouter

HERE = "tests.serve_app.registry.made_up_families"

router = NativeRouter("here")
copied = NativeRouter("copied")
copied.tasks.extend(entities.router.tasks)
application = FastAPI()


class Plain(CallReceiver):
    """A family of the plainest kind, without live limits."""

    def __init__(self, config: FamilyConfig, retries: int = 3) -> None:
        self.config, self.retries = config, retries


class Untyped(CallReceiver):
    def __init__(self, config):  # type: ignore[no-untyped-def]
        self.config = config


class OfTwo:
    def __init__(self, config: FamilyConfig, other: int) -> None: ...


class OfNothing:
    pass


class WithoutCalls:
    def __init__(self, config: FamilyConfig) -> None: ...


class OfAnother:
    def __init__(self, options: dict[str, int]) -> None: ...


Deployed = serve.deployment(Plain)
