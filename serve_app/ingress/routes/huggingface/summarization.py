"""Summarization: greedy, with bounds in tokens."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from starlette.responses import Response

from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.request_body import Inputs, NoOptions
from serve_app.ingress.routes.huggingface.text_inputs import FIELD, input_answers
from serve_app.ingress.routes.summaries import (
    SUMMARIZE,
    SummaryLimits,
    write_summaries,
)
from serve_app.ingress.routes.text_items import texts_of
from serve_app.ingress.validation.effects import NoEffect, Off
from serve_app.ingress.validation.fields import Body, TokenCount

hub_tasks = HubTasks()

FIELDS = {
    "max_new_tokens": "parameters.generate_parameters.max_length",
    "min_new_tokens": "parameters.generate_parameters.min_length",
}
MinTokens: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]


class HubSummaryBounds(Body):
    """Tokens of the summary; the ``new`` names are the same, since nothing else is counted."""

    max_length: TokenCount | None = None
    max_new_tokens: TokenCount | None = None
    min_length: MinTokens | None = None
    min_new_tokens: MinTokens | None = None
    do_sample: Off = None
    num_beams: NoEffect[Literal[1] | None] = None


class SummaryParameters(HubSummaryBounds):
    """Bounds are taken here too, as the hosted API's first version had them."""

    clean_up_tokenization_spaces: Off = None
    generate_parameters: HubSummaryBounds | None = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = None

    @property
    def max_tokens(self) -> int | None:
        return self._first("max_new_tokens", "max_length")

    @property
    def min_tokens(self) -> int | None:
        return self._first("min_new_tokens", "min_length")

    @property
    def truncates(self) -> bool:
        return self.truncation not in (None, "do_not_truncate")

    def _first(self, *names: str) -> int | None:
        """The first of these bounds that is given."""
        bounds = [each for each in (self.generate_parameters, self) if each is not None]
        given = (getattr(each, name) for each in bounds for name in names)
        return next((value for value in given if value is not None), None)


class SummaryBody(Body):
    inputs: Inputs
    parameters: SummaryParameters = SummaryParameters()
    options: NoOptions = None


DISTINGUISHING = frozenset(SummaryParameters.model_fields) - {"max_new_tokens", "do_sample"}
"""Parameters that text generation does not have."""


@hub_tasks.task("summarization", SUMMARIZE, distinguishing=DISTINGUISHING)
async def summarization(
    body: SummaryBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{summary_text}]``, one a text."""
    parameters = body.parameters
    limits = SummaryLimits.of(
        parameters.min_tokens, parameters.max_tokens, truncate=parameters.truncates
    )
    texts = texts_of(body.inputs)
    items = await write_summaries(
        texts, limits, card, services, context, fields=FIELDS, field=FIELD
    )
    shown = input_answers(body.inputs, items, lambda _, summary: {"summary_text": summary.text})
    return context.bare_list(shown, card.name)
