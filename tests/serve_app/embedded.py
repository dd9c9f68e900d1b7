"""The application of the embedded profile without Ray, over families that have no time."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from configs.profile_file import load_profile
from configs.settings import Settings
from deployments.seam.problems import Problem
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.local_handle import LocalHandle


class Busy:
    """A family that takes every request that reaches it, and has no time for it.

    It has every method that a route can call, those of families yet to come too.
    """

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        return self._stream if method == "stream" else self._call

    async def _call(self, request: Any) -> Problem:
        return Problem("overloaded", "busy")

    async def _stream(self, request: Any) -> AsyncIterator[Problem]:
        yield Problem("overloaded", "busy")


def routers() -> list[APIRouter]:
    """Of the families of the embedded profile."""
    return routers_of(load_profile("embedded"))


@asynccontextmanager
async def application(folder: Path, **more: Any) -> AsyncIterator[FastAPI]:
    """As it is in a replica of the ingress, where the garbage collector leaves it alone."""
    profile = load_profile("embedded")
    settings = Settings(hf_cache_dir=folder, **more)
    handles = {family.name: LocalHandle(Busy()) for family in profile.families}
    calls = DeploymentClient(handles, settings.request_timeout_s)
    services = Services(Catalog(profile, settings), calls, settings, house.Ready())
    made = create_app(services, routers())
    gc.collect()
    gc.freeze()
    try:
        yield made
    finally:
        gc.unfreeze()
        await made.state.conversations.close()
