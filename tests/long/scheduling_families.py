"""Families that tell where they run: each is a deployment class, a router and a profile entry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ray
from fastapi import APIRouter

from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.model_loader import BatchedModelLoader
from deployments.classification import Classification
from deployments.encoders.interface import EncoderInfo
from deployments.encoders.text_encoders import TextEncoder, batched
from deployments.encoders.tokenization import TokenizedText
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.seam.classification import ClassificationRequest, ClassificationResult
from deployments.seam.problems import Problem
from serve_app.ingress.routes.context import RequestServices

TEXTS = 12
router = APIRouter()


@router.get("/where/{family}")
async def where(family: str, services: RequestServices) -> dict[str, Any]:
    """The family's own report, by way of its handle."""
    return asdict(await services.client.call(family, "report", TEXTS))


@dataclass(frozen=True, slots=True)
class Report:
    """Its ``share`` of a GPU and what CUDA sees; texts ``answered``, in the ``largest`` forward."""

    pid: int
    share: float
    gpus: str | None
    answered: int
    largest: int = 0


class LetterLoader(BatchedModelLoader[TextEncoder[int]]):
    """Its model counts letters, without weights or torch, and records its ``largest`` batch."""

    largest = 0

    def load(self, spec: ModelSpec) -> TextEncoder[int]:
        def tokenizer(texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

        def run(batch: Sequence[TokenizedText]) -> list[int | Problem]:
            self.largest = max(self.largest, len(batch))
            return [len(text) for text in batch]

        lane = self._batcher.lane(spec.name, batched(run))
        return TextEncoder(tokenizer, EncoderInfo(20), 20, self._batcher, lane)


class Letters(FamilyDeployment[TextEncoder[int]]):
    """The deployment that counts letters."""

    def __init__(self, config: FamilyConfig) -> None:
        meter = Meter(config.ledger)
        batcher = Batcher(config, meter)
        self._letters = LetterLoader(config, batcher)
        super().__init__(config, self._letters, batcher, meter)
        self._model = config.models[0].name

    async def report(self, texts: int) -> Report:
        self._letters.largest = 0
        async with self._models.use(self._model) as encoder:
            answers, _ = await encoder.answer(["a"] * texts, truncate=False)
        largest = self._letters.largest
        return Report(os.getpid(), share(), visible(), answers.count(1), largest)


class Judge(Classification):
    """The real family, with a tiny model, on a whole GPU."""

    async def report(self, texts: int) -> Report:
        answer = await self.classify(ClassificationRequest("house/judge", ("w1 w2",) * texts))
        assert isinstance(answer, ClassificationResult)
        labelled = [item for item in answer.items if isinstance(item, tuple)]
        return Report(os.getpid(), share(), visible(), len(labelled))


def share() -> float:
    context: Any = ray.get_runtime_context()  # untyped
    return float(context.get_assigned_resources().get("GPU", 0.0))


def visible() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")
