"""A family that answers some calls only when they are cancelled, to see which of them run where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ray import serve

from deployments.models.config import FamilyConfig
from deployments.models.joined_calls import CallRunner
from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore
from deployments.seam.joined_calls import CancelledCalls, JoinedAnswers, JoinedCalls

HOLD = "hold"


class Holding:
    """The deployment. A text but ``hold`` gets the replica's name, and how many calls it holds."""

    def __init__(self, config: FamilyConfig) -> None:
        self._calls = CallRunner(self)
        self._held = 0

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        async for ready in self._calls.run(calls):
            yield ready

    async def cancel_calls(self, cancelled: CancelledCalls) -> None:
        self._calls.cancel(cancelled)

    async def classify(self, request: ClassificationRequest) -> ClassificationResult:
        if request.texts[0] == HOLD:
            self._held += 1
            try:
                await asyncio.Event().wait()
            finally:
                self._held -= 1
        replica = serve.get_replica_context().replica_tag
        return ClassificationResult(((LabelScore(replica, self._held),),))
