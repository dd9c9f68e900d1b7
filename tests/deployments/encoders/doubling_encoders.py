"""A family of text encoders without a model, which answers a text with twice its length."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from configs.profile import ModelSpec
from deployments.batching.batcher import Batcher
from deployments.batching.model_loader import BatchedModelLoader
from deployments.encoders.interface import EncoderInfo
from deployments.encoders.text_encoders import TextEncoder, batched
from deployments.encoders.tokenization import TokenizedText
from deployments.metrics.meter import Meter
from deployments.models.config import FamilyConfig
from deployments.models.family import FamilyDeployment
from deployments.seam.problems import Problem
from tests.deployments.forwards import PATIENCE_S, Forwards


def letters(texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
    """A tokenizer: one token a letter."""
    return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


class DoubleLoader(BatchedModelLoader[TextEncoder[int]]):
    """Its model answers a text with twice its length, and never one of thirteen letters."""

    forwards: Forwards

    def __init__(self, config: FamilyConfig, batcher: Batcher, tokenizer: Any) -> None:
        super().__init__(config, batcher)
        self._tokenizer = tokenizer
        self._loop = asyncio.get_running_loop()

    def load(self, spec: ModelSpec) -> TextEncoder[int]:
        self.forwards = Forwards(self._loop)

        def run(batch: Sequence[TokenizedText]) -> Sequence[int | Problem]:
            if any(len(text) == 13 for text in batch):
                raise ArithmeticError("thirteen")
            return self.forwards([len(text) for text in batch])

        lane = self._batcher.lane(spec.name, batched(run))
        max_tokens = spec.max_tokens or 20
        info = EncoderInfo(max_tokens)
        return TextEncoder(self._tokenizer, info, max_tokens, self._batcher, lane)


class Doubled(FamilyDeployment[TextEncoder[int]]):
    """The deployment of such models."""

    def __init__(self, config: FamilyConfig, tokenizer: Any = letters) -> None:
        meter = Meter(None)
        self.batcher = Batcher(config, meter)
        self._doubles = DoubleLoader(config, self.batcher, tokenizer)
        super().__init__(config, self._doubles, self.batcher, meter)

    @property
    def forwards(self) -> Forwards:
        return self._doubles.forwards

    async def ask(self, *texts: str, batch_size: int | None = None) -> list[int | Problem]:
        async with asyncio.timeout(PATIENCE_S), self._models.use("tiny") as encoder:
            answers, _ = await encoder.answer(texts, truncate=False, max_batch_size=batch_size)
        return answers


class Held(Doubled):
    """Reads texts when the test lets it; what it reads is kept as their lengths."""

    def __init__(self, config: FamilyConfig) -> None:
        self.reads = Forwards()
        super().__init__(config, self._read)

    def _read(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        self.reads([len(text) for text in texts])
        return letters(texts)
