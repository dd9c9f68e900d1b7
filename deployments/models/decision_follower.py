"""Follows what Serve's controller decides on the number of replicas, in one replica."""

from __future__ import annotations

import asyncio
import logging

import ray
from ray import serve

from deployments.seam.scaling import ScalingDecision, ScalingDecisions

logger = logging.getLogger(__name__)


class DecisionFollower:
    """Reads the last decision in the background, since a health check must not wait for Ray's GCS.

    The decision is for people: where it cannot be read, the replica is as healthy as before.
    """

    def __init__(self) -> None:
        self._reading: asyncio.Task[None] | None = None
        self._last: ScalingDecision | None = None
        self._failing = False

    @property
    def decision(self) -> ScalingDecision | None:
        """What was decided last for the deployment of this replica, as far as it was read."""
        return self._last

    def follow(self) -> None:
        """Begin to read the last decision, unless that is still going on. Waits for nothing."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            self._last = await asyncio.to_thread(_stored_decision)
        except Exception:  # an outermost edge: nobody awaits the task
            if not self._failing:
                logger.exception("the decision on replicas cannot be read")
            self._failing = True
        else:
            self._failing = False


def _stored_decision() -> ScalingDecision | None:
    if not ray.is_initialized():
        return None
    context = serve.get_replica_context()
    return ScalingDecisions(context.app_name).get(context.deployment)
