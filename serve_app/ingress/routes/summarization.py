"""``POST /summarize``: texts made short."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary
from serve_app.ingress.documentation.rules import unless_given
from serve_app.ingress.routes.context import NATIVE_FIELDS, Context, RequestServices, TaskResult
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.huggingface.summarization import hub_tasks
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.routes.summaries import (
    MAX_TOKENS,
    MIN_TOKENS,
    SUMMARIZE,
    SummaryLimits,
    write_summaries,
)
from serve_app.ingress.routes.text_items import (
    ItemError,
    TruncatableTextsBody,
    failed_item,
    only,
    texts_of,
)
from serve_app.ingress.validation.fields import Answer, TokenCount, example

router = NativeRouter("summarization")
router.hub_tasks.add(hub_tasks)

FIELDS = {**NATIVE_FIELDS, "max_new_tokens": "max_length", "min_new_tokens": "min_length"}


class SummarizeBody(TruncatableTextsBody):
    """One text for one ``summary``, a list for a list of ``summaries``. Lengths are in tokens."""

    model_config = example(
        unless_given("max_length", min_length={"maximum": MAX_TOKENS}),
        texts="The council closed the old bridge for eighteen months, since engineers had found "
        "cracks in two of its pillars. A ferry carries pedestrians free of charge meanwhile.",
        max_length=40,
        min_length=5,
    )

    max_length: TokenCount | None = Field(
        None, description=f"{MAX_TOKENS}, or what the model can write where that is less"
    )
    min_length: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        None, description=f"{MIN_TOKENS}, or max_length where that is less"
    )


class SummaryAnswer(Answer):
    summary: str
    usage: dict[str, int]


class SummariesAnswer(Answer):
    summaries: list[str | ItemError]
    usage: dict[str, int]


@router.task(
    "/summarize",
    SUMMARIZE,
    step="summarize",
    answer=SummaryAnswer | SummariesAnswer,
    summary="Texts made short",
)
async def summarize(body: SummarizeBody, services: RequestServices, context: Context) -> TaskResult:
    """Greedy. In a list a bad text fails alone; the answer is one object around the list."""
    card = await services.catalog.resolve(SUMMARIZE, body.model_name)
    limits = SummaryLimits.of(body.min_length, body.max_length, truncate=body.truncate)
    texts = texts_of(body.texts)
    items = await write_summaries(texts, limits, card, services, context, fields=FIELDS)
    done = [item for item in items if isinstance(item, Summary)]
    counts = usage(sum(item.prompt_tokens for item in done), sum(item.tokens for item in done))
    answer: dict[str, Any]
    if isinstance(body.texts, str):
        answer = {"summary": only(items).text}
    else:
        answer = {"summaries": [_in_list(item) for item in items]}
    return TaskResult({**answer, "usage": counts}, card.name)


def _in_list(item: Summary | Problem) -> str | dict[str, Any]:
    return failed_item(item) if isinstance(item, Problem) else item.text
