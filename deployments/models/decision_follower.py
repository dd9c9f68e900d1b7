"""Follows what Serve's controller decides on the number of replicas, in one replica."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray import serve

from configs.scaling import POLICY_CLASS
from deployments.seam.scaling import ScalingDecision, ScalingDecisions

logger = logging.getLogger(__name__)

MAX_AGE_S = 60.0
"""An older decision is of the past: one that stays the same is written every ten seconds."""


class DecisionFollower:
    """Reads the last decision in the background, since a health check must not wait for Ray's GCS.

    The decision is for people: where it cannot be read, the replica is as healthy as before. A
    decision outlives its policy in the key-value store, so it counts only while ``LoadPolicy``
    scales the deployment, and for :data:`MAX_AGE_S`. ``clock`` gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None
        self._last: ScalingDecision | None = None
        self._failing = False

    @property
    def decision(self) -> ScalingDecision | None:
        """What was decided last for the deployment of this replica; ``None`` if that is old."""
        if self._last is None or self._clock() - self._last.at > MAX_AGE_S:
            return None
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
    context: Any = serve.get_replica_context()
    scaling = context._deployment_config.autoscaling_config  # as it is now, after every change
    if scaling is None or scaling.policy.policy_function != POLICY_CLASS:
        return None
    return ScalingDecisions(context.app_name).get(context.deployment)
