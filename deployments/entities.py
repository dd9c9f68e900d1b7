"""Entities: token classifiers, texts in, labelled spans of their characters out.

Models that find the answer to a question in a text are here as well, since they are alike: they
score every token of a text's windows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import Any, ClassVar, TypeAlias

import numpy as np

from configs.profile import ModelSpec
from deployments.batching.chunks import in_parts
from deployments.encoders.answer_spans import find_answers, open_spans
from deployments.encoders.interface import Network, Outputs
from deployments.encoders.spans import Probabilities, TokenLabels, Window, windows
from deployments.encoders.text_encoders import RunBatch, TextEncoder
from deployments.encoders.text_family import TextFamily
from deployments.encoders.tokenization import TokenizedText
from deployments.encoders.zero_shot import problem_of
from deployments.models.config import FamilyConfig
from deployments.models.errors import unavailable_as_problem
from deployments.seam.entities import Entity, EntityRequest, EntityResult
from deployments.seam.problems import Problem
from deployments.seam.question_answering import ContextQuestionRequest, ContextQuestionResult

TOKENS = 4096
"""Tokens of windows whose labels are read in one go, so that other requests need not wait long."""

WindowLabels: TypeAlias = Probabilities
"""Probabilities of one window, float32 of shape (tokens, labels)."""


class Entities(TextFamily[Any]):
    """The deployment of the entities family. No text is too long: it is read in windows.

    What a model answers to a window depends on its head: :data:`WindowLabels`, or the two logits
    of each token.

    ``max_tokens`` of a model is the length of one window.
    """

    tasks: ClassVar[dict[str, str]] = {
        "entities": "finds what is named in texts, and where",
        "question_answering": "finds the answer to a question in a text",
    }

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config, {"token": _labels_of, "span": open_spans})

    @unavailable_as_problem
    async def recognise(self, request: EntityRequest) -> EntityResult:
        """The entities of every text, in order of appearance."""
        async with self._models.use(request.model) as encoder:
            read, labelled = await _label_windows(encoder, request.texts)
            items = await _find_entities(encoder, request, read, labelled)
        tokens = tuple(sum(len(window.tokens) for window in of_text) for of_text in read)
        return EntityResult(items, tokens)

    @unavailable_as_problem
    async def answer_from_context(
        self, request: ContextQuestionRequest
    ) -> ContextQuestionResult | Problem:
        """The best spans of the context that answer the question."""
        async with self._models.use(request.model) as encoder:
            return await find_answers(encoder, request)


LabelledWindow: TypeAlias = tuple[TokenLabels, Window, WindowLabels | Problem]
"""The labels of a text, one of its windows, and what the model answers to the window."""


async def _label_windows(
    encoder: TextEncoder[WindowLabels], texts: Sequence[str]
) -> tuple[list[list[Window]], list[list[WindowLabels | Problem]]]:
    """The windows of each text, and what the model answers to each window."""
    read: list[list[Window]] = []

    async def window_tokens() -> AsyncGenerator[Sequence[TokenizedText], None]:
        for some in in_parts(texts, len):
            part = await encoder.batcher.in_thread(
                windows, encoder.tokenizer, some, encoder.max_tokens
            )
            read.extend(part)
            yield [window.tokens for of_text in part for window in of_text]

    answers = await encoder.batcher.answers(encoder.lane, window_tokens())
    remaining = iter(answers)
    return read, [list(islice(remaining, len(of_text))) for of_text in read]


async def _find_entities(
    encoder: TextEncoder[WindowLabels],
    request: EntityRequest,
    read: list[list[Window]],
    labelled: list[list[WindowLabels | Problem]],
) -> tuple[tuple[Entity, ...] | Problem, ...]:
    """The entities of each text, or why it has none."""
    texts = [TokenLabels(text, request.aggregation) for text in request.texts]
    labelled_windows = [
        (text, *of_window)
        for text, of_text, answers in zip(texts, read, labelled, strict=True)
        for of_window in zip(of_text, answers, strict=True)
    ]
    for part in in_parts(labelled_windows, _tokens, TOKENS):
        await encoder.batcher.in_thread(_add_windows, part, encoder.info.labels)
    found: list[tuple[Entity, ...]] = []
    for some in in_parts(texts, _characters):
        found += await encoder.batcher.in_thread(_found, some)
    return tuple(problem_of(row) or own for row, own in zip(labelled, found, strict=True))


def _labels_of(network: Network, spec: ModelSpec) -> RunBatch[WindowLabels]:
    if not network.tokenizer.is_fast:
        raise ValueError(f"{spec.name} has no fast tokenizer, which tells where words are")

    def run(batch: Sequence[TokenizedText]) -> list[WindowLabels | Problem]:
        rows = zip(_probabilities(network(batch)), batch, strict=True)
        return [row[: len(text)] for row, text in rows]

    return run


def _probabilities(logits: Outputs) -> Probabilities:
    """Softmax over labels, of shape (windows, longest, labels); padding is at the end."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Probabilities = exponents / exponents.sum(-1, keepdims=True)
    return probabilities


def _tokens(labelled: LabelledWindow) -> int:
    return len(labelled[1].tokens)


def _characters(labels: TokenLabels) -> int:
    return len(labels.text)


def _add_windows(part: Sequence[LabelledWindow], names: tuple[str, ...]) -> None:
    for labels, window, answer in part:
        if not isinstance(answer, Problem):
            labels.add_window(window, answer, names)


def _found(texts: Sequence[TokenLabels]) -> list[tuple[Entity, ...]]:
    return [labels.entities() for labels in texts]
