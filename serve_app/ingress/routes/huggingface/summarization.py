"""Summarization: greedy, with bounds in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import HubOptions, Inputs, Off
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.summaries import (
    MAX_TOKENS,
    MIN_TOKENS,
    SUMMARIZE,
    SummaryLimits,
    write_summaries,
)
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.fields import Body, TokenCount
from serve_app.ingress.validation.limits import check_window

hub_tasks = HubTasks()

MAX_FIELD = "parameters.generate_parameters.max_length"
MIN_FIELD = "parameters.generate_parameters.min_length"
MinTokens: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]


class HubSummaryBounds(Body):
    """Tokens of the summary; the ``new`` names are the same, since nothing else is counted."""

    max_length: TokenCount | None = None
    max_new_tokens: TokenCount | None = None
    min_length: MinTokens | None = None
    min_new_tokens: MinTokens | None = None
    do_sample: Off = None
    num_beams: Literal[1] | None = None


class SummaryParameters(HubSummaryBounds):
    """Bounds are taken here too, as the hosted API's first version had them."""

    clean_up_tokenization_spaces: Off = None
    generate_parameters: HubSummaryBounds | None = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = None

    @property
    def max_tokens(self) -> int:
        return _first(self._given("max_new_tokens", "max_length"), MAX_TOKENS)

    @property
    def min_tokens(self) -> int:
        """Raises when an explicit minimum is above the maximum."""
        default = min(MIN_TOKENS, self.max_tokens)
        min_tokens = _first(self._given("min_new_tokens", "min_length"), default)
        if min_tokens > self.max_tokens:
            message = f"the minimum is {min_tokens} tokens, but the maximum {self.max_tokens}."
            raise ValidationFailed(message, field=MIN_FIELD)
        return min_tokens

    @property
    def truncates(self) -> bool:
        return self.truncation not in (None, "do_not_truncate")

    def _given(self, *names: str) -> list[int | None]:
        bounds = [each for each in (self.generate_parameters, self) if each is not None]
        return [getattr(each, name) for each in bounds for name in names]


class SummaryBody(Body):
    inputs: Inputs
    parameters: SummaryParameters = SummaryParameters()
    options: HubOptions | None = None


DISTINGUISHING = frozenset(SummaryParameters.model_fields) - {"max_new_tokens", "do_sample"}
"""Parameters that text generation does not have."""


@hub_tasks.task("summarization", SUMMARIZE, distinguishing=DISTINGUISHING)
async def summarization(
    body: SummaryBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{summary_text}]``, one a text."""
    parameters = body.parameters
    check_window(parameters.max_tokens, card, MAX_FIELD)
    limits = SummaryLimits(parameters.min_tokens, parameters.max_tokens, parameters.truncates)
    texts, fields = texts_of(body.inputs), {"max_new_tokens": MAX_FIELD}
    items = await write_summaries(
        texts, limits, card, services, context, fields=fields, field=FIELD
    )
    shown = input_answers(body.inputs, items, lambda _, summary: {"summary_text": summary.text})
    return context.bare_list(shown, card.name)


def _first(given: Sequence[int | None], default: int) -> int:
    return next((value for value in given if value is not None), default)
