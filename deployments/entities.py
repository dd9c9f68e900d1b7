"""Entities: token classifiers, texts in, labelled spans of their characters out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from configs.engines import Head
from configs.profile import ModelSpec
from deployments.base import ModelUnavailable
from deployments.encoders import Encoder, in_parts
from deployments.network.interface import Network, Outputs
from deployments.network_family import Answering, NetworkFamily
from deployments.seam import Aggregation, Entity, EntityRequest, Problem, Recognised
from deployments.spans import Chances, Window, entities, windows
from deployments.texts import TokenizedText


@dataclass(frozen=True, slots=True)
class Tagged:
    """One window's chances, float32 of shape (tokens, labels), and the labels' names."""

    names: tuple[str, ...]
    chances: Chances


class Entities(NetworkFamily[Tagged]):
    """The deployment of the entities family. No text is too long: it is read in windows.

    ``max_tokens`` of a model is the length of one window.
    """

    head: ClassVar[Head] = "token"

    async def recognise(self, request: EntityRequest) -> Recognised | Problem:
        """The entities of every text, in order of appearance."""
        try:
            async with self._residency.use(request.model) as encoder:
                return await self._recognised(encoder, request)
        except ModelUnavailable as error:
            return error.problem

    async def _recognised(self, encoder: Encoder[Tagged], request: EntityRequest) -> Recognised:
        read: list[list[Window]] = []

        async def parts() -> AsyncGenerator[Sequence[TokenizedText], None]:
            for texts in in_parts(request.texts):
                part = await self._in_thread(windows, encoder.tokenizer, texts, encoder.max_tokens)
                read.extend(part)
                yield [window.tokens for of_text in part for window in of_text]

        answers = iter(await self._through(encoder.lane, parts()))
        tagged = [list(islice(answers, len(of_text))) for of_text in read]
        items = tuple(await self._in_thread(_all_entities, request, read, tagged))
        return Recognised(items, tuple(sum(len(w.tokens) for w in of_text) for of_text in read))

    def answering(self, network: Network, spec: ModelSpec) -> Answering[Tagged]:
        if not network.tokenizer.is_fast:
            raise ValueError(f"{spec.name} has no fast tokenizer, which tells where words are")
        names = network.traits.labels

        def run(batch: Sequence[TokenizedText]) -> list[Tagged | Problem]:
            rows = zip(_chances(network(batch)), batch, strict=True)
            return [Tagged(names, row[: len(text)]) for row, text in rows]

        return run


def _chances(logits: Outputs) -> Chances:
    """Softmax over labels, of shape (windows, longest, labels); padding is at the end."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    chances: Chances = exponents / exponents.sum(-1, keepdims=True)
    return chances


def _all_entities(
    request: EntityRequest, read: list[list[Window]], tagged: list[list[Tagged | Problem]]
) -> list[tuple[Entity, ...] | Problem]:
    return [
        _entities_of(text, of_text, answers, request.aggregation)
        for text, of_text, answers in zip(request.texts, read, tagged, strict=True)
    ]


def _entities_of(
    text: str,
    read: Sequence[Window],
    answers: Sequence[Tagged | Problem],
    aggregation: Aggregation,
) -> tuple[Entity, ...] | Problem:
    seen: list[tuple[Window, Chances]] = []
    names: tuple[str, ...] = ()
    for window, answer in zip(read, answers, strict=True):
        if isinstance(answer, Problem):
            return answer
        seen.append((window, answer.chances))
        names = answer.names
    return entities(text, seen, names, aggregation)
