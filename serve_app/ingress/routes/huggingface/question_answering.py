"""Question answering: spans of a context."""

from __future__ import annotations

from starlette.responses import Response

from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services, json_response
from serve_app.ingress.routes.extracted_answers import (
    MAX_ANSWER_TOKENS,
    QUESTION_ANSWERING,
    AnswerLimits,
    AnswerTokens,
    TopAnswers,
    find_answers,
    shown,
)
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import NoOptions, Unserved
from serve_app.ingress.validation.fields import Body, Readable

hub_tasks = HubTasks()

FIELDS = {"question": "inputs.question", "context": "inputs.context"}


class QuestionAndContext(Body):
    question: Readable
    context: Readable


class QuestionAnsweringParameters(Body):
    """Windows are this server's own, so their lengths and overlap are not served."""

    align_to_words: bool | None = None
    handle_impossible_answer: bool | None = None
    max_answer_len: AnswerTokens | None = None
    top_k: TopAnswers | None = None
    doc_stride: Unserved = None
    max_question_len: Unserved = None
    max_seq_len: Unserved = None


class HubQuestionAnsweringBody(Body):
    inputs: QuestionAndContext
    parameters: QuestionAnsweringParameters = QuestionAnsweringParameters()
    options: NoOptions = None


@hub_tasks.task("question-answering", QUESTION_ANSWERING)
async def question_answering(
    body: HubQuestionAnsweringBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``{answer, score, start, end}``, or a list of these if ``top_k`` is above 1, best first."""
    parameters = body.parameters
    limits = AnswerLimits(
        parameters.top_k or 1,
        parameters.max_answer_len or MAX_ANSWER_TOKENS,
        parameters.align_to_words is not False,
        bool(parameters.handle_impossible_answer),
    )
    given = body.inputs
    found = await find_answers(given.question, given.context, limits, card, services, FIELDS)
    if limits.top_k > 1:
        return context.bare_list([shown(each) for each in found], card.name)
    return json_response(shown(found[0]), {"X-Model": card.name})
