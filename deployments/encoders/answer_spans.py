"""Finds the answer to a question in a text (extractive question answering, SQuAD).

A long text is read in overlapping windows, each together with the question. Windows, scores and the
choice of spans are those of the pipeline that transformers had up to version 4.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.profile import ModelSpec
from deployments.batching.chunks import in_parts
from deployments.encoders.interface import Network, Outputs
from deployments.encoders.spans import NO_WORD, Window
from deployments.encoders.text_encoders import RunBatch, TextEncoder
from deployments.encoders.tokenization import TokenizedText
from deployments.encoders.zero_shot import problem_of, softmax
from deployments.seam.problems import Problem
from deployments.seam.question_answering import (
    AnswerSpan,
    ContextQuestionRequest,
    ContextQuestionResult,
)

MAX_OVERLAP = 128
"""Tokens that windows share, unless half of a window's context is less."""

TOKENS = 4096
"""Tokens of windows whose spans are chosen in one go, so that other requests need not wait long."""

Probabilities: TypeAlias = npt.NDArray[np.float64]


class TokenSpan(NamedTuple):
    """A span of tokens, ``end`` included, and its probability."""

    start: int
    end: int
    score: float


async def find_answers(
    encoder: TextEncoder[Outputs], request: ContextQuestionRequest
) -> ContextQuestionResult | Problem:
    """The best spans of the context that answer the question."""
    windows: list[Window] = []

    async def window_tokens() -> AsyncGenerator[Sequence[TokenizedText | Problem], None]:
        read = await encoder.batcher.in_thread(context_windows, encoder, request)
        if isinstance(read, Problem):
            yield [read]
            return
        windows.extend(read)
        yield [window.tokens for window in read]

    results = await encoder.batcher.answers(encoder.lane, window_tokens())
    if (problem := problem_of(results)) is not None:
        return problem
    logits = [each for each in results if not isinstance(each, Problem)]
    answers = ContextAnswers(request)
    pairs = tuple(zip(windows, logits, strict=True))
    for part in in_parts(pairs, lambda pair: len(pair[0].tokens), TOKENS):
        await encoder.batcher.in_thread(answers.add_windows, part)
    if not answers.best:
        return Problem("validation", "the context has nothing that can be an answer", "context")
    tokens = tuple(len(window.tokens) for window in windows)
    return ContextQuestionResult(answers.best, tokens)


def open_spans(network: Network, spec: ModelSpec) -> RunBatch[Outputs]:
    """Raises ``ValueError`` for a model whose tokenizer does not tell where words are."""
    if not network.tokenizer.is_fast:
        raise ValueError(f"{spec.name} has no fast tokenizer, which tells where words are")

    def run(batch: Sequence[TokenizedText]) -> list[Outputs | Problem]:
        rows = zip(network(batch), batch, strict=True)
        return [row[: len(text)] for row, text in rows]

    return run


def context_windows(
    encoder: TextEncoder[Any], request: ContextQuestionRequest
) -> list[Window] | Problem:
    """The windows of the context, each behind the question. Only tokens of the context have a word.

    A question that takes more than half of a window is a problem: there would be too many windows.
    """
    tokenizer, max_tokens = encoder.tokenizer, encoder.max_tokens
    (question,) = tokenizer([request.question], add_special_tokens=False, verbose=False)[
        "input_ids"
    ]
    room = max_tokens - len(question) - int(tokenizer.num_special_tokens_to_add(pair=True))
    if room < max_tokens // 2:
        message = f"the question has {len(question)} tokens, which leaves too little room: "
        return Problem("validation", f"{message}a window has {max_tokens} in all", "question")
    encoded = tokenizer(
        [request.question],
        [request.context],
        truncation="only_second",
        max_length=max_tokens,
        stride=min(MAX_OVERLAP, room // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    encoded.pop("overflow_to_sample_mapping")
    offsets = encoded.pop("offset_mapping")
    found = []
    for row, places in enumerate(offsets):
        features = {name: values[row] for name, values in encoded.items()}
        sides = zip(encoded.word_ids(row), encoded.sequence_ids(row), strict=True)
        words = [word if side == 1 else None for word, side in sides]
        found.append(Window.of(features, words, places))
    return found


@dataclass(slots=True)
class ContextAnswers:
    """Collects the answers of a request, window by window."""

    request: ContextQuestionRequest
    _found: dict[str, AnswerSpan] = field(default_factory=dict)
    _none: float = 1.0

    def add_windows(self, part: Sequence[tuple[Window, Outputs]]) -> None:
        """Add windows with their logits of shape (tokens, 2)."""
        for window, logits in part:
            starts, ends, none = _probabilities(window, logits)
            self._none = min(self._none, none)
            wanted = self.request.top_k
            if self.request.align_to_words:  # several spans may be one when they are aligned
                wanted = 2 * wanted + 10
            for span in best_spans(starts, ends, self.request.max_answer_tokens, wanted):
                if NO_WORD not in (window.word_ids[span.start], window.word_ids[span.end]):
                    self._add(window, span)

    @property
    def best(self) -> tuple[AnswerSpan, ...]:
        """Up to ``top_k`` answers, best first."""
        found = list(self._found.values())
        if self.request.allow_none:
            found.append(AnswerSpan("", self._none, 0, 0))
        found.sort(key=lambda answer: answer.score, reverse=True)
        return tuple(found[: self.request.top_k])

    def _add(self, window: Window, span: TokenSpan) -> None:
        """Add a span. Spans of the same text add up; the first one keeps its place."""
        start, end = _characters(window, span, whole_words=self.request.align_to_words)
        text = self.request.context[start:end]
        same = self._found.get(text.lower())
        if same is None:
            self._found[text.lower()] = AnswerSpan(text, span.score, start, end)
        else:
            score = same.score + span.score
            self._found[text.lower()] = AnswerSpan(same.answer, score, same.start, same.end)


def best_spans(
    starts: Probabilities, ends: Probabilities, max_tokens: int, count: int
) -> list[TokenSpan]:
    """The ``count`` likeliest spans of up to ``max_tokens``, by the product of both probabilities.

    ``starts`` and ``ends`` are of shape (tokens,).
    """
    tokens = len(starts)
    width = min(max_tokens, tokens)
    behind = np.concatenate([ends, np.zeros(width - 1)])
    scores = starts[:, None] * np.lib.stride_tricks.sliding_window_view(behind, width)
    flat = scores.ravel()
    best = np.argpartition(-flat, min(count, flat.size) - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    firsts, lengths = np.unravel_index(best, scores.shape)
    spans = zip(firsts.tolist(), (firsts + lengths).tolist(), flat[best].tolist(), strict=True)
    return [TokenSpan(start, end, score) for start, end, score in spans if end < tokens]


def _probabilities(window: Window, logits: Outputs) -> tuple[Probabilities, Probabilities, float]:
    """The probabilities of each token of the context to be the first and the last of the answer.

    The third is the probability that there is none: models put it on the window's first token.
    """
    counted = np.array(window.word_ids) != NO_WORD
    counted[0] = True
    scores = np.where(counted[:, None], logits.astype(np.float64), -np.inf)
    starts, ends = softmax(scores[:, 0]), softmax(scores[:, 1])
    none = float(starts[0] * ends[0])
    starts[0] = ends[0] = 0.0
    return starts, ends, none


def _characters(window: Window, span: TokenSpan, *, whole_words: bool) -> tuple[int, int]:
    """The span in characters of the context, of the words of its tokens if they must be whole."""
    first, last = span.start, span.end
    if whole_words:
        words = window.word_ids
        while first > 0 and words[first - 1] == words[first]:
            first -= 1
        while last + 1 < len(words) and words[last + 1] == words[last]:
            last += 1
    return window.start(first), window.end(last)
