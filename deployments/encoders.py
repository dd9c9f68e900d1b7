"""What every family of encoders shares: texts to tokens, tokens to the lane, answers in order."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from configs.engines import Engine
from deployments.lane import Lane
from deployments.lane_family import UNANSWERED, LaneFamily
from deployments.seam import Problem
from deployments.texts import Pairs, TokenizedText, tokenize, tokenize_pairs

R = TypeVar("R")


@dataclass(slots=True)
class Encoder(Generic[R]):
    """One loaded model: its tokenizer, its limit in tokens a text, and the lane to it."""

    tokenizer: Any
    max_tokens: int
    lane: Lane[TokenizedText, R]
    engine: Engine = "torch"

    def close(self) -> None:
        self.lane.close()


class EncoderFamily(LaneFamily[Encoder[R]], ABC, Generic[R]):
    """A deployment of models that read texts. A family says how one is loaded."""

    async def _answers(
        self,
        encoder: Encoder[R],
        texts: Sequence[str],
        *,
        truncate: bool,
        batch_size: int | None = None,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """One answer or problem a text, in order, and the tokens that each text has.

        At most ``batch_size`` texts of this request are in one forward.
        """
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(tokenize, tokenizer, texts, limit, truncate=truncate)
        return await self._forwarded(encoder, tokenized, batch_size), _counts(tokenized)

    async def _pair_answers(
        self, encoder: Encoder[R], pairs: Pairs, *, truncate: bool
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """The same for pairs of texts that the model reads together."""
        tokenizer, limit = encoder.tokenizer, encoder.max_tokens
        tokenized = await self._in_thread(
            tokenize_pairs, tokenizer, pairs, limit, truncate=truncate
        )
        return await self._forwarded(encoder, tokenized), _counts(tokenized)

    async def _forwarded(
        self,
        encoder: Encoder[R],
        tokenized: Sequence[TokenizedText | Problem],
        batch_size: int | None = None,
    ) -> list[R | Problem]:
        """One answer a tokenized text, in order; problems stay where they are."""
        answers: list[R | Problem] = [
            text if isinstance(text, Problem) else UNANSWERED for text in tokenized
        ]
        good = [i for i, text in enumerate(tokenized) if isinstance(text, TokenizedText)]
        step = batch_size or max(1, len(good))
        for start in range(0, len(good), step):
            chosen = good[start : start + step]
            through = await self._through(encoder.lane, [tokenized[i] for i in chosen])
            for i, answer in zip(chosen, through, strict=True):
                answers[i] = answer
        return answers


def _counts(tokenized: Sequence[TokenizedText | Problem]) -> tuple[int, ...]:
    return tuple(0 if isinstance(text, Problem) else len(text) for text in tokenized)
