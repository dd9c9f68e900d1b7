"""What every family of encoders shares: texts to tokens, tokens to the lane, answers in order."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from configs.engines import EngineName
from deployments.batching.chunks import in_parts
from deployments.batching.family import LaneFamily
from deployments.batching.lane import Lane
from deployments.encoders.tokenization import Pairs, TokenizedText, tokenize, tokenize_pairs
from deployments.seam.problems import Problem

R = TypeVar("R")


@dataclass(slots=True)
class Encoder(Generic[R]):
    """One loaded model: its tokenizer, its limit in tokens a text, and the lane to it."""

    tokenizer: Any
    max_tokens: int
    lane: Lane[TokenizedText, R]
    engine: EngineName = "torch"

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
        unpooled: int = 0,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """One answer or problem a text, in order, and the tokens that each text has.

        At most ``batch_size`` texts of this request are in one forward. The first ``unpooled``
        tokens of each are not pooled.
        """
        read = partial(
            tokenize,
            encoder.tokenizer,
            max_tokens=encoder.max_tokens,
            truncate=truncate,
            unpooled=unpooled,
        )
        parts = (partial(read, part) for part in in_parts(texts, len))
        return await self._read_and_answered(encoder, parts, batch_size)

    async def _pair_answers(
        self, encoder: Encoder[R], pairs: Pairs, *, truncate: bool
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """The same for pairs of texts that the model reads together."""
        read = partial(
            tokenize_pairs, encoder.tokenizer, max_tokens=encoder.max_tokens, truncate=truncate
        )
        sides = tuple(zip(pairs.firsts, pairs.seconds, strict=True))
        parts = (partial(read, _some(pairs, part)) for part in in_parts(sides, _weight))
        return await self._read_and_answered(encoder, parts)

    async def _read_and_answered(
        self,
        encoder: Encoder[R],
        parts: Iterable[Callable[[], Sequence[TokenizedText | Problem]]],
        batch_size: int | None = None,
    ) -> tuple[list[R | Problem], tuple[int, ...]]:
        """Answers and numbers of tokens. While one part is read, the model is at work on others."""
        counts: list[int] = []

        async def read() -> AsyncGenerator[Sequence[TokenizedText | Problem], None]:
            for part in parts:
                tokenized = await self._in_thread(part)
                counts.extend(0 if isinstance(text, Problem) else len(text) for text in tokenized)
                yield tokenized

        return await self._through(encoder.lane, read(), batch_size), tuple(counts)


def _weight(pair: tuple[str, str]) -> int:
    return len(pair[0]) + len(pair[1])


def _some(pairs: Pairs, chosen: Sequence[tuple[str, str]]) -> Pairs:
    """Those of ``pairs`` that were chosen."""
    firsts, seconds = zip(*chosen, strict=True)
    return replace(pairs, firsts=firsts, seconds=seconds)
