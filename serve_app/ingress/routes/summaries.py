"""Summaries of texts, asked of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.text_items import FIELD, answer_each

SUMMARIZE = "summarize"
MIN_TOKENS, MAX_TOKENS = 50, 150
"""Of a summary, where the request does not say."""


async def write_summaries(
    texts: Sequence[str],
    card: ModelCard,
    services: Services,
    context: RequestContext,
    *,
    min_tokens: int,
    max_tokens: int,
    truncate: bool,
    fields: Mapping[str, str],
    field: str = FIELD,
) -> list[Summary | Problem]:
    """Every text's summary of ``min_tokens`` to ``max_tokens`` tokens, or why it has none.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    """

    async def ask(good: tuple[str, ...]) -> Sequence[Summary | Problem]:
        request = SummaryRequest(
            request_id=context.request_id,
            model=card.name,
            texts=good,
            max_new_tokens=max_tokens,
            min_new_tokens=min_tokens,
            truncate=truncate,
        )
        result: SummaryResult = await services.client.call(
            card.family, "summarize", request, fields
        )
        return result.items

    return await answer_each(texts, services.settings, ask, field)
