"""Loads text encoders for the families; their texts are tokenized in a thread, then batched."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from configs.engines import HEADS, EngineName, ModelHead
from configs.profile import ModelSpec
from deployments.batching.batch_runner import BatchedModel
from deployments.batching.batcher import Batcher
from deployments.batching.chunks import in_parts
from deployments.batching.joint_preparation import Unprepared
from deployments.batching.lane import Lane
from deployments.batching.model_loader import BatchedModelLoader
from deployments.encoders.backends import choose_backend, import_backend, open_network
from deployments.encoders.interface import EncoderInfo, Network
from deployments.encoders.tokenization import Pairs, TokenizedText, tokenize, tokenize_pairs
from deployments.models.config import FamilyConfig
from deployments.seam.problems import Problem

R = TypeVar("R")
T = TypeVar("T")

WARM_UP_TEXTS, WARM_UP_TOKENS = 8, 32

RunBatch: TypeAlias = Callable[[Sequence[TokenizedText]], Sequence[R | Problem]]
"""A function that runs one forward and returns one answer for each text of the batch, in order."""

OpenRunBatch: TypeAlias = Callable[[Network, ModelSpec], RunBatch[R]]
"""Makes the answers of a family from the outputs of a network with one kind of head.

Raises ``ValueError`` for a model that the family cannot use."""

Answers: TypeAlias = tuple[list[R | Problem], tuple[int, ...]]
"""One answer or problem a text, in order, and the number of tokens of each text."""


@dataclass(slots=True)
class TextEncoder(Generic[R]):
    """One loaded encoder. A text may have ``max_tokens`` tokens."""

    tokenizer: Any
    info: EncoderInfo
    max_tokens: int
    batcher: Batcher
    lane: Lane[TokenizedText, R]
    engine: EngineName = "torch"

    async def answer(
        self,
        texts: Sequence[str],
        *,
        truncate: bool,
        max_batch_size: int | None = None,
        unpooled: int = 0,
    ) -> Answers[R]:
        """Answers to texts, of which at most ``max_batch_size`` share a forward.

        The first ``unpooled`` tokens of each text are a prompt's, which are not pooled.
        """
        read = partial(
            tokenize,
            self.tokenizer,
            max_tokens=self.max_tokens,
            truncate=truncate,
            unpooled=unpooled,
        )
        parts = in_parts(texts, len)
        return await self.answer_parts(parts, read, (truncate, unpooled), len, max_batch_size)

    async def answer_pairs(self, pairs: Pairs, *, truncate: bool) -> Answers[R]:
        """Answers to pairs of texts that the model reads together."""

        def read(sides: Sequence[tuple[str, str]]) -> list[TokenizedText | Problem]:
            some = _only(pairs, sides)
            return tokenize_pairs(self.tokenizer, some, self.max_tokens, truncate=truncate)

        sides = tuple(zip(pairs.firsts, pairs.seconds, strict=True))
        parts = in_parts(sides, _characters)
        key = (truncate, pairs.shortened, pairs.subject)
        return await self.answer_parts(parts, read, key, _characters)

    async def answer_parts(
        self,
        parts: Iterable[Sequence[T]],
        read: Callable[[Sequence[T]], Sequence[TokenizedText | Problem]],
        key: Hashable,
        weigh: Callable[[T], int],
        max_batch_size: int | None = None,
    ) -> Answers[R]:
        """Answers to ``parts``, each of which is tokenized while the model computes earlier ones.

        ``read`` makes a tokenized text or a problem of each input, ``weigh`` counts its characters.
        Parts of several requests to this model with the same ``key`` are tokenized together.
        """
        counts: list[int] = []

        def count(texts: Sequence[TokenizedText | Problem]) -> None:
            counts.extend(0 if isinstance(text, Problem) else len(text) for text in texts)

        async def unprepared() -> AsyncGenerator[Unprepared[TokenizedText], None]:
            for part in parts:
                weight = sum(map(weigh, part))
                yield Unprepared(part, read, (id(self), key), weight, count)

        answers = await self.batcher.answers(self.lane, unprepared(), max_batch_size)
        return answers, tuple(counts)


class TextEncoders(BatchedModelLoader[TextEncoder[R]], Generic[R]):
    """Loads encoders, on the engine that is chosen for each.

    ``heads`` are the kinds of heads that the models of the family may have. The first is that of a
    model whose tasks do not tell (tasks that only a family of someone else's knows).
    """

    def __init__(
        self,
        config: FamilyConfig,
        batcher: Batcher,
        heads: Mapping[ModelHead, OpenRunBatch[R]],
    ) -> None:
        super().__init__(config, batcher)
        self._heads = heads

    def fetch(self, spec: ModelSpec) -> Path:
        return choose_backend(self._config, spec, self._head_of(spec)).folder

    def prepare(self, spec: ModelSpec) -> None:
        head = self._head_of(spec)
        import_backend(choose_backend(self._config, spec, head), head)

    def load(self, spec: ModelSpec) -> TextEncoder[R]:
        head = self._head_of(spec)
        network = open_network(self._config, spec, head)
        run = self._heads[head](network, spec)
        max_tokens = spec.max_tokens or network.info.max_tokens
        lane = self._batcher.lane(
            spec.name, batched(run, concurrency=network.at_once), network.engine
        )
        lane.warm_up(_warm_up_batches(network.tokenizer, max_tokens))
        return TextEncoder(
            network.tokenizer, network.info, max_tokens, self._batcher, lane, network.engine
        )

    def _head_of(self, spec: ModelSpec) -> ModelHead:
        """Raises ``ValueError`` for tasks that need different heads: a model here has one."""
        needed = {HEADS[task] for task in spec.tasks if task in HEADS}
        head = needed.pop() if needed else next(iter(self._heads))
        if needed or head not in self._heads:
            raise ValueError(f"{spec.name}: no one head does {', '.join(spec.tasks)}")
        return head


def batched(run: RunBatch[R], concurrency: int = 1) -> BatchedModel[TokenizedText, R]:
    """A batched model of texts, whose sizes are counted in tokens."""
    return BatchedModel(run, size=len, nbytes=_nbytes, concurrency=concurrency)


def _warm_up_batches(tokenizer: Any, max_tokens: int) -> list[list[TokenizedText]]:
    """The first forwards of a model are slow; from later ones the lane learns their time."""
    texts = ["a", "a " * min(WARM_UP_TOKENS, max_tokens // 2)]
    read = tokenize(tokenizer, texts, max_tokens, truncate=True)
    sizes = zip(read, (1, WARM_UP_TEXTS), strict=True)
    return [[text] * size for text, size in sizes if isinstance(text, TokenizedText)]


def _nbytes(text: TokenizedText) -> int:
    return text.nbytes


def _characters(pair: tuple[str, str]) -> int:
    return len(pair[0]) + len(pair[1])


def _only(pairs: Pairs, chosen: Sequence[tuple[str, str]]) -> Pairs:
    firsts, seconds = zip(*chosen, strict=True)
    return replace(pairs, firsts=firsts, seconds=seconds)
