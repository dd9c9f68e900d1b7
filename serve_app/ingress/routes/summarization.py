"""``POST /summarize``: texts made short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.documentation.rules import unless_given
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import Context, RequestContext, Served, Services, TaskResult
from serve_app.ingress.routes.embeddings import Truncate
from serve_app.ingress.routes.generation import usage
from serve_app.ingress.routes.items import ItemError, answered, failed, listed, only
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import Answer, Body, ModelName, Texts, TokenCount, example
from serve_app.ingress.validation.limits import check_window

router = NativeRouter("summarization")

TASK = "summarize"
FIELDS = {"model": "model_name", "max_new_tokens": "max_length"}
LEAST, MOST = 50, 150


class SummarizeBody(Body):
    """One text for one ``summary``, a list for a list of ``summaries``. Lengths are in tokens."""

    model_config = example(
        unless_given("max_length", min_length={"maximum": MOST}),
        texts="The council closed the old bridge for eighteen months, since engineers had found "
        "cracks in two of its pillars. A ferry carries pedestrians free of charge meanwhile.",
        max_length=40,
        min_length=5,
    )

    texts: Texts
    max_length: TokenCount = MOST
    min_length: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        None, description=f"{LEAST}, or max_length where that is less"
    )
    model_name: ModelName | None = None
    truncate: Truncate = False

    @property
    def least(self) -> int:
        """Raises when an explicit minimum is above the maximum."""
        least = min(LEAST, self.max_length) if self.min_length is None else self.min_length
        if least > self.max_length:
            message = f"min_length is {least}, but max_length is {self.max_length}."
            raise ValidationFailed(message, field="min_length")
        return least


class SummaryAnswer(Answer):
    summary: str
    usage: dict[str, int]


class SummariesAnswer(Answer):
    summaries: list[str | ItemError]
    usage: dict[str, int]


@router.post(
    "/summarize", summary="Texts made short", response_model=SummaryAnswer | SummariesAnswer
)
async def summarize_route(body: SummarizeBody, served: Served, context: Context) -> Response:
    """Greedy. In a list a bad text fails alone; the answer is one object around the list."""
    return context.respond(await summarize(body, served, context))


@router.task("summarize", SummarizeBody, TASK)
async def summarize(body: SummarizeBody, served: Services, context: RequestContext) -> TaskResult:
    card = served.catalog.resolve(TASK, body.model_name)
    check_window(body.max_length, card, "max_length")
    items = await _summaries(body, card, served, context)
    done = [item for item in items if isinstance(item, Summary)]
    counts = usage(sum(item.prompt_tokens for item in done), sum(item.tokens for item in done))
    answer: dict[str, Any]
    if isinstance(body.texts, str):
        answer = {"summary": only(items).text}
    else:
        answer = {"summaries": [_in_list(item) for item in items]}
    return TaskResult({**answer, "usage": counts}, card.name)


async def _summaries(
    body: SummarizeBody, card: ModelCard, served: Services, context: RequestContext
) -> list[Summary | Problem]:
    least = body.least

    async def ask(good: tuple[str, ...]) -> Sequence[Summary | Problem]:
        request = SummaryRequest(
            request_id=context.request_id,
            model=card.name,
            texts=good,
            max_new_tokens=body.max_length,
            min_new_tokens=least,
            truncate=body.truncate,
        )
        answer: SummaryResult = await served.client.call(card.family, "summarize", request, FIELDS)
        return answer.items

    return await answered(listed(body.texts), served.settings, ask)


def _in_list(item: Summary | Problem) -> str | dict[str, Any]:
    return failed(item) if isinstance(item, Problem) else item.text
