"""A stub of the classification family that answers at once."""

from __future__ import annotations

from deployments.models.config import FamilyConfig
from deployments.seam.classification import ClassificationRequest, ClassificationResult, LabelScore

ANSWER = (LabelScore("positive", 0.75), LabelScore("negative", 0.25))


class InstantClassification:
    """The deployment: the same labels for every text."""

    def __init__(self, config: FamilyConfig) -> None:
        pass

    async def classify(self, request: ClassificationRequest) -> ClassificationResult:
        return ClassificationResult((ANSWER,) * len(request.texts))
