"""Entities: token classifiers, texts in, labelled spans of their characters out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, TypeAlias

import numpy as np

from configs.engines import ModelHead
from configs.profile import ModelSpec
from deployments.batching.chunks import in_parts
from deployments.encoders.family import Encoder
from deployments.encoders.interface import Network, Outputs
from deployments.encoders.network_family import Answering, NetworkFamily
from deployments.encoders.spans import Probabilities, TokenLabels, Window, windows
from deployments.encoders.tokenization import TokenizedText
from deployments.encoders.zero_shot import problem_of
from deployments.models.errors import ModelUnavailable
from deployments.seam.entities import Entity, EntityRequest, EntityResult
from deployments.seam.problems import Problem

TOKENS = 4096
"""Of windows whose answers are read in one go, so that others need not wait for long."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """One window's chances, float32 of shape (tokens, labels), and the labels' names."""

    names: tuple[str, ...]
    probabilities: Probabilities


TaggedText: TypeAlias = tuple[TokenLabels, Window, Tagged | Problem]
"""What the model says of one window, and the reading of the text that it is of."""


class Entities(NetworkFamily[Tagged]):
    """The deployment of the entities family. No text is too long: it is read in windows.

    ``max_tokens`` of a model is the length of one window.
    """

    tasks: ClassVar[dict[str, str]] = {"entities": "finds what is named in texts, and where"}
    head: ClassVar[ModelHead] = "token"

    async def recognise(self, request: EntityRequest) -> EntityResult | Problem:
        """The entities of every text, in order of appearance."""
        try:
            async with self._residency.use(request.model) as encoder:
                return await self._recognised(encoder, request)
        except ModelUnavailable as error:
            return error.problem

    async def _recognised(self, encoder: Encoder[Tagged], request: EntityRequest) -> EntityResult:
        read: list[list[Window]] = []

        async def parts() -> AsyncGenerator[Sequence[TokenizedText], None]:
            for texts in in_parts(request.texts, len):
                part = await self._in_thread(windows, encoder.tokenizer, texts, encoder.max_tokens)
                read.extend(part)
                yield [window.tokens for of_text in part for window in of_text]

        answers = iter(await self._through(encoder.lane, parts()))
        tagged = [list(islice(answers, len(of_text))) for of_text in read]
        items = await self._entities(request, read, tagged)
        return EntityResult(items, tuple(sum(len(w.tokens) for w in of_text) for of_text in read))

    async def _entities(
        self, request: EntityRequest, read: list[list[Window]], tagged: list[list[Tagged | Problem]]
    ) -> tuple[tuple[Entity, ...] | Problem, ...]:
        """The entities of each text, or why it has none."""
        readings = [TokenLabels(text, request.aggregation) for text in request.texts]
        seen = [
            (reading, *of_window)
            for reading, of_text, answers in zip(readings, read, tagged, strict=True)
            for of_window in zip(of_text, answers, strict=True)
        ]
        for part in in_parts(seen, _tokens, TOKENS):
            await self._in_thread(_see, part)
        found: list[tuple[Entity, ...]] = []
        for of_texts in in_parts(readings, _characters):
            found += await self._in_thread(_found, of_texts)
        return tuple(problem_of(row) or own for row, own in zip(tagged, found, strict=True))

    def answering(self, network: Network, spec: ModelSpec) -> Answering[Tagged]:
        if not network.tokenizer.is_fast:
            raise ValueError(f"{spec.name} has no fast tokenizer, which tells where words are")
        names = network.info.labels

        def run(batch: Sequence[TokenizedText]) -> list[Tagged | Problem]:
            rows = zip(_probabilities(network(batch)), batch, strict=True)
            return [Tagged(names, row[: len(text)]) for row, text in rows]

        return run


def _probabilities(logits: Outputs) -> Probabilities:
    """Softmax over labels, of shape (windows, longest, labels); padding is at the end."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Probabilities = exponents / exponents.sum(-1, keepdims=True)
    return probabilities


def _tokens(seen: TaggedText) -> int:
    return len(seen[1].tokens)


def _characters(reading: TokenLabels) -> int:
    return len(reading.text)


def _see(part: Sequence[TaggedText]) -> None:
    for reading, window, answer in part:
        if not isinstance(answer, Problem):
            reading.add_window(window, answer.probabilities, answer.names)


def _found(readings: Sequence[TokenLabels]) -> list[tuple[Entity, ...]]:
    return [reading.entities() for reading in readings]
