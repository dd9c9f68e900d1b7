"""The request and the result of typed decisions: questions about a state, with probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deployments.seam.tokens import TokenCounts

QuestionKind: TypeAlias = Literal["choice", "score", "noul"]
"""Which of several options, which of several levels, or true or false."""


@dataclass(frozen=True, slots=True)
class DecisionQuestion:
    """One question. ``options`` are names with their descriptions, which are JSON values.

    The levels of a score have the names ``0``, ``1``, ... from the lowest, and the options of a
    ``noul`` are ``true`` and ``false``.
    """

    name: str
    kind: QuestionKind
    instructions: Any
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """Questions about a ``state``, which is any JSON value, to be answered without decoding."""

    request_id: str
    model: str
    state: Any
    questions: tuple[DecisionQuestion, ...]
    session: str = ""


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """For each question, in order, the probability of each option; they sum to one.

    ``prompt_tokens`` were read for all questions, the state counted with each.
    """

    probabilities: tuple[Mapping[str, float], ...]
    prompt_tokens: int

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(self.prompt_tokens)
