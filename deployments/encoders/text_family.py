"""The base of the families whose models are text encoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from configs.engines import ModelHead
from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.encoders.interface import Network
from deployments.encoders.text_encoders import RunBatch, TextEncoder, TextEncoders
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment

R = TypeVar("R")


class TextFamily(FamilyDeployment[TextEncoder[R]], Generic[R]):
    """The deployment of encoders with one kind of ``head``, whose texts are answered in batches.

    ``run_batch`` is the one of :class:`TextEncoders`.
    """

    def __init__(
        self,
        config: FamilyConfig,
        head: ModelHead,
        run_batch: Callable[[Network, ModelSpec], RunBatch[R]],
    ) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter)
        encoders = TextEncoders(config, batcher, head, run_batch)
        super().__init__(config, encoders, batcher, meter)
