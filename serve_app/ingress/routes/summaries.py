"""Calls a model for summaries of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each

SUMMARIZE = "summarize"
MIN_TOKENS, MAX_TOKENS = 50, 150
"""Of a summary, where the request does not say."""


@dataclass(frozen=True, slots=True)
class SummaryLimits:
    """Bounds of a summary in tokens, and whether texts that are too long are cut."""

    min_tokens: int
    max_tokens: int
    truncate: bool


async def write_summaries(
    texts: Sequence[str],
    limits: SummaryLimits,
    card: ModelCard,
    services: Services,
    context: RequestContext,
    *,
    fields: Mapping[str, str],
    field: str = FIELD,
) -> list[Summary | Problem]:
    """Every text's summary, or why it has none.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    """

    def request_for(good: tuple[str, ...]) -> SummaryRequest:
        return SummaryRequest(
            request_id=context.request_id,
            model=card.name,
            texts=good,
            max_new_tokens=limits.max_tokens,
            min_new_tokens=limits.min_tokens,
            truncate=limits.truncate,
        )

    return await call_for_each(
        texts, card, services, "summarize", request_for, fields=fields, field=field
    )
