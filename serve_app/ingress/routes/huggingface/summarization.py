"""Summarization: greedy, with bounds in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from starlette.responses import Response

from deployments.seam.problems import Problem
from deployments.seam.summarization import Summary, SummaryRequest, SummaryResult
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.payload import HubOptions, Inputs, Off
from serve_app.ingress.routes.huggingface.texts import answers_to, in_place
from serve_app.ingress.routes.summarization import LEAST
from serve_app.ingress.validation.fields import Body, TokenCount
from serve_app.ingress.validation.limits import check_window

MOST = 150
MAX_FIELD = "parameters.generate_parameters.max_length"
MIN_FIELD = "parameters.generate_parameters.min_length"
Least: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]


class HubSummaryBounds(Body):
    """Tokens of the summary; the ``new`` names are the same, since nothing else is counted."""

    max_length: TokenCount | None = None
    max_new_tokens: TokenCount | None = None
    min_length: Least | None = None
    min_new_tokens: Least | None = None
    do_sample: Off = None
    num_beams: Literal[1] | None = None


class SummaryParameters(HubSummaryBounds):
    """Bounds are taken here too, as the hosted API's first version had them."""

    clean_up_tokenization_spaces: Off = None
    generate_parameters: HubSummaryBounds | None = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first"] | None = None

    @property
    def most(self) -> int:
        return _first(self._given("max_new_tokens", "max_length"), MOST)

    @property
    def least(self) -> int:
        """Raises when an explicit minimum is above the maximum."""
        least = _first(self._given("min_new_tokens", "min_length"), min(LEAST, self.most))
        if least > self.most:
            message = f"the minimum is {least} tokens, but the maximum {self.most}."
            raise ValidationFailed(message, field=MIN_FIELD)
        return least

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


MARKS = frozenset(SummaryParameters.model_fields) - {"max_new_tokens", "do_sample"}
"""What text generation has no word for."""


async def summarization(
    body: SummaryBody, card: ModelCard, served: Services, context: RequestContext
) -> Response:
    """``[{summary_text}]``, one a text."""
    parameters = body.parameters
    check_window(parameters.most, card, MAX_FIELD)
    least = parameters.least

    async def ask(good: tuple[str, ...]) -> Sequence[Summary | Problem]:
        request = SummaryRequest(
            request_id=context.request_id,
            model=card.name,
            texts=good,
            max_new_tokens=parameters.most,
            min_new_tokens=least,
            truncate=parameters.truncates,
        )
        fields = {"max_new_tokens": MAX_FIELD}
        answer: SummaryResult = await served.client.ask(card.family, "summarize", request, fields)
        return answer.items

    items = await answers_to(body.inputs, served, ask)
    shown = [in_place(item, lambda summary: {"summary_text": summary.text}) for item in items]
    return context.bare_list(shown, card.name)


def _first(given: Sequence[int | None], default: int) -> int:
    return next((value for value in given if value is not None), default)
