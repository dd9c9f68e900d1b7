"""A stub of the classification family that answers at once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from deployments.models.joined_calls import CallRunner
from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore
from deployments.seam.joined_calls import CancelledCalls, JoinedAnswers, JoinedCalls

ANSWER = (LabelScore("positive", 0.75), LabelScore("negative", 0.25))


class InstantClassification(CallReceiver):
    """The deployment: the same labels for every text."""

    def __init__(self, config: FamilyConfig) -> None:
        self._calls = CallRunner(self)

    async def call_many(self, calls: JoinedCalls) -> AsyncIterator[JoinedAnswers]:
        async for ready in self._calls.run(calls):
            yield ready

    async def cancel_calls(self, cancelled: CancelledCalls) -> None:
        self._calls.cancel(cancelled)

    async def classify(self, request: ClassificationRequest) -> ClassificationResult:
        return ClassificationResult((ANSWER,) * len(request.texts))
