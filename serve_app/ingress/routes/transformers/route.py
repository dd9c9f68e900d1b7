"""``POST /v1/systemone``: typed decisions, as ``transformers serve`` answers them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam.decisions import DecisionQuestion, DecisionRequest, DecisionResult
from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.shapes import ERRORS
from serve_app.ingress.routes.transformers.answers import decision_answer
from serve_app.ingress.routes.transformers.body import SystemOneBody

router = InferenceRouter(prefix="/v1", tags=["transformers"], responses=ERRORS)


class DecisionUsage(BaseModel):
    input_tokens: int
    output_tokens: Literal[0]


class Decisions(BaseModel):
    """The answers by the names of the questions, each with its ``type``."""

    model: str
    answers: dict[str, dict[str, Any]]
    usage: DecisionUsage


@router.inference(
    "/systemone",
    CHAT,
    name="systemone",
    summary="transformers: typed decisions about a state",
    response_model=Decisions,
)
async def systemone(body: SystemOneBody, services: RequestServices, context: Context) -> Response:
    """Probabilities of each question's options, from one forward a question; nothing is decoded."""
    needed = [("questions", "decisions")]
    card = await services.catalog.resolve(CHAT, body.model, "model", needed)
    questions = body.to_questions(services.settings)
    request = DecisionRequest(
        context.request_id, card.name, body.state, questions, session=context.session
    )
    result: DecisionResult = await services.client.call(card.family, "decide", request)
    return json_response(
        {
            "model": card.name,
            "answers": _answers(questions, result),
            "usage": {"input_tokens": result.prompt_tokens, "output_tokens": 0},
        }
    )


def _answers(
    questions: tuple[DecisionQuestion, ...], result: DecisionResult
) -> dict[str, dict[str, Any]]:
    pairs = zip(questions, result.probabilities, strict=True)
    return {question.name: decision_answer(question, found) for question, found in pairs}
