"""The base of the families whose models are text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from configs.engines import ModelHead
from deployments.batching.batcher import Batcher
from deployments.encoders.text_encoders import OpenRunBatch, TextEncoder, TextEncoders
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment

R = TypeVar("R")


class TextFamily(FamilyDeployment[TextEncoder[R]], Generic[R]):
    """The deployment of encoders whose texts are answered in batches.

    ``heads`` are those of :class:`TextEncoders`.
    """

    def __init__(self, config: FamilyConfig, heads: Mapping[ModelHead, OpenRunBatch[R]]) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter)
        encoders = TextEncoders(config, batcher, heads)
        super().__init__(config, encoders, batcher, meter)
