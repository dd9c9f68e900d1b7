"""The replicas that Serve wants of each deployment, and those that run, from its controller."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from deployments.metrics import signals
from deployments.metrics.report import MetricSample

RUNNING = "RUNNING"
"""The state of a replica that takes requests, as Serve's schema has it."""

FAILED = frozenset({"UNHEALTHY", "DEPLOY_FAILED"})
"""Serve's words for a deployment that misses replicas, or has none."""

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level

MAX_AGE_S = 2.0
TIMEOUT_S = 1.0
"""How long a scrape waits for the controller; without an answer it shows the figures before."""


class ServeReplicas:
    """Asks Serve's controller, at most every ``MAX_AGE_S`` and once at a time.

    ``fetch`` answers what Serve says of one application. Outside of a replica there is nothing.
    """

    def __init__(
        self,
        fetch: Callable[[], dict[str, Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch or _application
        self._clock = clock
        self._gauges: tuple[MetricSample, ...] = ()
        self._asked_at = float("-inf")
        self._pending: asyncio.Future[dict[str, Any]] | None = None

    async def gauges(self) -> tuple[MetricSample, ...]:
        """The figures now, or the last ones while the controller does not answer."""
        if self._pending is None and self._clock() - self._asked_at > MAX_AGE_S:
            self._asked_at = self._clock()
            self._pending = asyncio.ensure_future(asyncio.to_thread(self._fetch))
            self._pending.add_done_callback(self._answered)
        if self._pending is not None:
            await asyncio.wait({self._pending}, timeout=TIMEOUT_S)
        return self._gauges

    def _answered(self, answer: asyncio.Future[dict[str, Any]]) -> None:
        self._pending = None
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            self._gauges = tuple(_gauges(answer.result()))
        elif isinstance(error, RayError | RayServeException):
            logger.warning("Serve's controller did not tell its replicas", exc_info=error)
        else:
            raise error


def _application() -> dict[str, Any]:
    if not ray.is_initialized():  # Serve's client would start Ray
        return {}
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return {}
    name = serve.get_replica_context().app_name
    found: dict[str, Any] = client.get_serve_details()["applications"].get(name, {})
    return found


def _gauges(application: dict[str, Any]) -> Iterator[MetricSample]:
    for name, details in application.get("deployments", {}).items():
        running = sum(each["state"] == RUNNING for each in details["replicas"])
        yield signals.REPLICAS_WANTED.of(name, amount=details["target_num_replicas"])
        yield signals.REPLICAS_RUNNING.of(name, amount=running)
        yield signals.DEPLOYMENT_FAILED.of(name, amount=details["status"] in FAILED)
