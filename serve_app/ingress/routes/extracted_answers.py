"""Calls a model for the answers to a question in a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field

from deployments.seam.question_answering import (
    AnswerSpan,
    ContextQuestionRequest,
    ContextQuestionResult,
)
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import Services
from serve_app.ingress.validation.limits import check_prompt, check_readable

QUESTION_ANSWERING = "question_answering"
MAX_ANSWER_TOKENS = 15
"""Tokens of an answer, where the request does not say."""

TopAnswers: TypeAlias = Annotated[int, Field(ge=1, le=100)]
"""How many answers are found."""

AnswerTokens: TypeAlias = Annotated[int, Field(ge=1, le=256)]
"""How many tokens an answer may have."""


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Which answers are wanted, as in :class:`ContextQuestionRequest`."""

    top_k: int = 1
    max_tokens: int = MAX_ANSWER_TOKENS
    align_to_words: bool = True
    allow_none: bool = False


async def find_answers(
    question: str,
    context: str,
    limits: AnswerLimits,
    card: ModelCard,
    services: Services,
    fields: Mapping[str, str],
) -> tuple[AnswerSpan, ...]:
    """The answers, best first. ``fields`` are the route's names for those of the model side."""
    for name, text in (("question", question), ("context", context)):
        check_readable(text, fields.get(name, name))
        check_prompt(text, services.settings, fields.get(name, name))
    request = ContextQuestionRequest(
        card.name,
        question,
        context,
        limits.top_k,
        limits.max_tokens,
        limits.align_to_words,
        limits.allow_none,
    )
    result: ContextQuestionResult = await services.client.call(
        card.family, "answer_from_context", request, fields
    )
    return result.items


def shown(answer: AnswerSpan) -> dict[str, str | float | int]:
    """An answer as JSON has it, in both APIs."""
    return {
        "answer": answer.answer,
        "score": answer.score,
        "start": answer.start,
        "end": answer.end,
    }
