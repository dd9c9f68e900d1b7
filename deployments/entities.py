"""Entities: token classifiers, texts in, labelled spans of their characters out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from configs.profile import ModelSpec
from deployments.base import ModelUnavailable
from deployments.encoders import HEADS, Encoder, EncoderFamily, in_parts
from deployments.seam import Aggregation, Entity, EntityRequest, Problem, Recognised
from deployments.spans import Chances, Window, entities, windows
from deployments.texts import TokenizedText, pad, token_limit

AUTO_CLASS = "AutoModelForTokenClassification"


@dataclass(frozen=True, slots=True)
class Tagged:
    """One window's chances, float32 of shape (tokens, labels), and the labels' names."""

    names: tuple[str, ...]
    chances: Chances


class Entities(EncoderFamily[Tagged]):
    """The deployment of the entities family. No text is too long: it is read in windows.

    ``max_tokens`` of a model is the length of one window.
    """

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

    def load(self, folder: Path, spec: ModelSpec) -> tuple[Any, int, Any]:
        tokenizer, model, device = self._opened(AUTO_CLASS, folder, spec, unquantised=HEADS)
        if not tokenizer.is_fast:
            raise ValueError(f"{spec.name} has no fast tokenizer, which tells where words are")
        labels = model.config.id2label
        names = tuple(str(labels[i]) for i in range(len(labels)))

        def run(batch: Sequence[TokenizedText]) -> list[Tagged | Problem]:
            chances = _forward(model, pad(tokenizer, batch, device))
            return [Tagged(names, row[: len(t)]) for row, t in zip(chances, batch, strict=True)]

        return tokenizer, token_limit(tokenizer, model), run


def _forward(model: Any, features: dict[str, Any]) -> Sequence[Chances]:
    """Softmax over labels, of shape (windows, longest, labels); padding is at the end."""
    import torch

    with torch.inference_mode():
        logits = model(**features).logits.float()
    chances: Sequence[Chances] = logits.softmax(-1).cpu().numpy()
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
