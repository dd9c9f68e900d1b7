"""Calls a model for summaries of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.text_items import FIELD, call_for_each
from serve_app.ingress.validation.limits import check_window

SUMMARIZE = "summarize"
MIN_TOKENS, MAX_TOKENS = 50, 150
"""Of a summary, where the request does not say."""


@dataclass(frozen=True, slots=True)
class SummaryLimits:
    """Bounds of a summary in tokens, and whether texts that are too long are cut.

    ``default_max`` and ``default_min`` are as in
    :class:`~deployments.seam.summarization.SummaryRequest`.
    """

    min_tokens: int
    max_tokens: int
    truncate: bool
    default_max: bool = False
    default_min: bool = False

    @classmethod
    def of(cls, min_tokens: int | None, max_tokens: int | None, *, truncate: bool) -> SummaryLimits:
        """The limits that a request gives, with this service's defaults for the others."""
        longest = MAX_TOKENS if max_tokens is None else max_tokens
        shortest = min(MIN_TOKENS, longest) if min_tokens is None else min_tokens
        return cls(shortest, longest, truncate, max_tokens is None, min_tokens is None)

    def check(self, card: ModelCard, fields: Mapping[str, str]) -> None:
        """Refuse bounds that contradict each other, or a maximum above the model's window.

        Raises :class:`ValidationFailed`.
        """
        if not self.default_max:
            check_window(self.max_tokens, card, fields["max_new_tokens"])
        if self.min_tokens > self.max_tokens:
            message = f"the minimum is {self.min_tokens} tokens, but the maximum {self.max_tokens}."
            raise ValidationFailed(message, field=fields["min_new_tokens"])


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
    """Every text's summary, or why it has none. Raises as :meth:`SummaryLimits.check` does.

    ``fields`` are the route's names for the fields of the model side, ``field`` for the texts.
    """

    limits.check(card, fields)

    def request_for(good: tuple[str, ...]) -> SummaryRequest:
        request = SummaryRequest(
            request_id=context.request_id,
            model=card.name,
            texts=good,
            max_new_tokens=limits.max_tokens,
            min_new_tokens=limits.min_tokens,
            truncate=limits.truncate,
            default_max=limits.default_max,
            default_min=limits.default_min,
        )
        return request if card.window is None else request.within(card.window)

    return await call_for_each(
        texts, card, services, "summarize", request_for, fields=fields, field=field
    )
