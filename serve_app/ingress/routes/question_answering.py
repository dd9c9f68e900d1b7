"""``POST /question-answering``: the answer to a question, out of a text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.extracted_answers import (
    QUESTION_ANSWERING,
    AnswerLimits,
    TopAnswers,
    find_answers,
    shown,
)
from serve_app.ingress.routes.huggingface.question_answering import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Readable, example

router = NativeRouter("question answering")
router.hub_tasks.add(hub_tasks)


class QuestionAnsweringBody(Body):
    """A question and the text that answers it. Long texts are read in windows."""

    model_config = example(
        question="Where does Anna live?", context="Anna Schmidt was born in Rome and lives in Bonn."
    )

    question: Readable
    context: Readable
    top_k: TopAnswers = 1
    model_name: ModelName | None = None


class ExtractedAnswer(BaseModel):
    """``answer`` is the text of the context from ``start`` to ``end``, in characters."""

    answer: str
    score: float
    start: int
    end: int


class QuestionAnsweringAnswer(ExtractedAnswer, Answer):
    """The best answer. ``answers`` has the best ones if ``top_k`` is more than 1."""

    answers: list[ExtractedAnswer] | None = Field(None)


@router.task(
    "/question-answering",
    QUESTION_ANSWERING,
    step="question_answering",
    answer=QuestionAnsweringAnswer,
    summary="The answer to a question, out of a text",
)
async def question_answering(
    body: QuestionAnsweringBody, services: RequestServices, context: Context
) -> TaskResult:
    """``{answer, score, start, end}``; with ``top_k`` above 1 also ``answers``, best first.

    ``start`` and ``end`` count the characters (code points) of the context as it was sent.
    """
    card = await services.catalog.resolve(QUESTION_ANSWERING, body.model_name)
    limits = AnswerLimits(body.top_k)
    found = await find_answers(body.question, body.context, limits, card, services, NATIVE_FIELDS)
    answer: dict[str, Any] = {**shown(found[0])}
    if body.top_k > 1:
        answer["answers"] = [shown(each) for each in found]
    return TaskResult(answer, card.name)
