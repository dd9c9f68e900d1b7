"""The request and the result of finding the answer to a question in a text."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.tokens import CountsPromptTokens


@dataclass(frozen=True, slots=True)
class ContextQuestionRequest:
    """A question, and the text in which up to ``top_k`` answers are found.

    An answer has at most ``max_answer_tokens``, and is of whole words with ``align_to_words``. With
    ``allow_none`` the empty answer competes: that the text does not answer the question.
    """

    model: str
    question: str
    context: str
    top_k: int = 1
    max_answer_tokens: int = 15
    align_to_words: bool = True
    allow_none: bool = False


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer: ``context[start:end]``, in characters."""

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ContextQuestionResult(CountsPromptTokens):
    """The answers, best first, and the tokens of each window that was read."""

    items: tuple[AnswerSpan, ...]
    tokens: tuple[int, ...] = ()
