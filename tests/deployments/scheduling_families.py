"""Families that tell where they run: each is a deployment class, a router and a profile entry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ray
from fastapi import APIRouter

from configs.profile import ModelSpec
from deployments.classification import Classification
from deployments.encoders.family import Encoder, EncoderFamily
from deployments.encoders.tokenization import TokenizedText
from deployments.seam.classification import ClassificationRequest, ClassificationResult
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


class Letters(EncoderFamily[int]):
    """Counts letters; needs neither weights nor torch."""

    _largest = 0

    async def report(self, texts: int) -> Report:
        self._largest = 0
        async with self._residency.use(self._config.models[0].name) as encoder:
            answers, _ = await self._answers(encoder, ["a"] * texts, truncate=False)
        return Report(os.getpid(), share(), visible(), answers.count(1), self._largest)

    def _load(self, spec: ModelSpec) -> Encoder[int]:
        def tokenizer(texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

        def run(batch: Sequence[TokenizedText]) -> list[int]:
            self._largest = max(self._largest, len(batch))
            return [len(text) for text in batch]

        return Encoder(tokenizer, 20, self._lane(spec.name, run, len))


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
