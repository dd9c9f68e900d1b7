"""Text generation as TGI's router takes and answers it: greedy unless sampling is requested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from deployments.seam.generation import GenerationRequest, GenerationResult, Sampling
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.generation_fields import GENERATE, seed_of, stops
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.routes.huggingface.grammar import GrammarBody
from serve_app.ingress.routes.huggingface.request_body import NoOptions, Unserved
from serve_app.ingress.routes.huggingface.tgi import (
    TextEnd,
    TgiFormat,
    best_first,
    collect_choices,
    error_event,
    events,
)
from serve_app.ingress.validation.effects import Off
from serve_app.ingress.validation.fields import (
    Body,
    Choices,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stops,
    Temperature,
    Text,
    TokenCount,
    TopK,
    TopLogprobs,
    TopP,
)
from serve_app.ingress.validation.limits import check_prompt, check_window
from serve_app.ingress.validation.schema_text import SchemaText

hub_tasks = HubTasks()

FIELDS = {
    "prompt": "inputs",
    "max_new_tokens": "parameters.max_new_tokens",
    "grammar": "parameters.grammar",
}
DEFAULT_NEW_TOKENS = 100
"""The default that the client documents and TGI's router applies."""


class GenerateParameters(Body):
    """TGI's ``GenerateParameters``. Lengths are in tokens; ``truncate`` keeps a prompt's end."""

    adapter_id: Unserved = None
    best_of: Choices | None = None
    decoder_input_details: Off = None
    details: bool | None = None
    do_sample: bool | None = None
    frequency_penalty: Penalty | None = None
    grammar: GrammarBody | None = None
    max_new_tokens: TokenCount | None = None
    repetition_penalty: RepetitionPenalty | None = None
    return_full_text: bool | None = None
    seed: Seed | None = None
    stop: Stops | None = None
    stop_sequences: Stops | None = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_n_tokens: TopLogprobs | None = None
    top_p: TopP | None = None
    truncate: TokenCount | None = None
    typical_p: TopP | None = None
    watermark: Off = None

    @property
    def samples(self) -> bool:
        """Whether to sample: as ``do_sample`` says, else if a parameter of sampling is given."""
        if self.do_sample is not None:
            return self.do_sample
        return self.temperature is not None or bool(self.top_k) or (self.top_p or 1.0) < 1.0

    @property
    def choices(self) -> int:
        return self.best_of or 1

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop and self.stop_sequences:
            message = "stop and stop_sequences are two names of one parameter."
            raise ValidationFailed(message, field="parameters.stop_sequences")
        return stops(self.stop or self.stop_sequences)

    def needed_capabilities(self) -> Iterator[tuple[str, str]]:
        """Fields that need a capability that not every engine has, each with that capability."""
        if self.frequency_penalty:
            yield "parameters.frequency_penalty", "frequency_penalty"
        if self.top_n_tokens:
            yield "parameters.top_n_tokens", "top_logprobs"
        sampling = self.sampling(logprobs=False)
        if sampling.typical_p < 1.0 and not sampling.greedy:
            yield "parameters.typical_p", "typical_p"
        if self.grammar:
            yield "parameters.grammar", self.grammar.capability

    def sampling(self, *, logprobs: bool) -> Sampling:
        temperature = 1.0 if self.temperature is None else self.temperature
        return Sampling(
            temperature=temperature if self.samples else 0.0,
            top_p=self.top_p or 1.0,
            top_k=self.top_k or 0,
            repetition_penalty=self.repetition_penalty or 1.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logprobs=logprobs,
            top_logprobs=self.top_n_tokens or 0,
            seed=seed_of(self.seed),
            typical_p=self.typical_p or 1.0,
        )


class HubGenerateBody(Body):
    """One prompt and how to continue it."""

    inputs: Text
    parameters: GenerateParameters = GenerateParameters()
    stream: bool | None = None
    options: NoOptions = None


@hub_tasks.task("text-generation", GENERATE)
async def text_generation(
    body: HubGenerateBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """``[{generated_text, details?}]``, or with ``stream`` TGI's events, one a token."""
    if body.stream:
        return await streamed_text(body, card, services, context)
    return context.bare_list([await whole_text(body, card, services, context)], card.name)


async def streamed_text(
    body: HubGenerateBody, card: ModelCard, services: Services, context: RequestContext
) -> Response:
    """TGI's events of one text, one a token. ``body`` has ``stream``."""
    request = _request(body, card, services, context, await context.schema_text())
    form = _format(body, request)
    return await services.stream(
        services.client.open_stream(card.family, "stream", request, FIELDS),
        lambda chunks: events(chunks, form),
        lambda error: error_event(error, context.request_id),
        card,
    )


async def whole_text(
    body: HubGenerateBody, card: ModelCard, services: Services, context: RequestContext
) -> dict[str, Any]:
    """``{generated_text, details?}``. It ends with the stop string that ended it, as TGI's do."""
    request = _request(body, card, services, context, await context.schema_text())
    parameters, form = body.parameters, _format(body, request)
    if not parameters.details and parameters.choices == 1:
        generated: GenerationResult = await services.client.call(
            card.family, "generate", request, FIELDS
        )
        (choice,) = generated.choices
        end = TextEnd(choice.finish_reason, choice.stop_string)
        return {"generated_text": form.text(choice.text, end)}
    chunks = await services.client.open_stream(card.family, "stream", request, FIELDS)
    texts = best_first(await collect_choices(chunks, request.choices))
    answer: dict[str, Any] = {"generated_text": form.text(texts[0].text, texts[0].end)}
    if parameters.details:
        answer["details"] = form.details(texts)
    return answer


def _format(body: HubGenerateBody, request: GenerationRequest) -> TgiFormat:
    return TgiFormat(
        prompt=body.inputs if body.parameters.return_full_text else "",
        seed=None if request.sampling.greedy else request.sampling.seed,
        alternatives=bool(body.parameters.top_n_tokens),
    )


def _request(
    body: HubGenerateBody,
    card: ModelCard,
    services: Services,
    context: RequestContext,
    schemas: SchemaText,
) -> GenerationRequest:
    parameters = body.parameters
    services.catalog.require(card, GENERATE, parameters.needed_capabilities())
    check_prompt(body.inputs, services.settings, "inputs")
    check_window(parameters.max_new_tokens, card, "parameters.max_new_tokens")
    if parameters.choices > 1:
        _check_best_of(body)
    detailed = bool(body.stream or parameters.details or parameters.choices > 1)
    return GenerationRequest(
        request_id=context.request_id,
        session=context.session,
        model=card.name,
        prompt=body.inputs,
        max_new_tokens=parameters.max_new_tokens or DEFAULT_NEW_TOKENS,
        sampling=parameters.sampling(logprobs=detailed),
        stop=parameters.stop_strings,
        choices=parameters.choices,
        keep_last=parameters.truncate,
        grammar=parameters.grammar.grammar(schemas) if parameters.grammar else None,
    )


def _check_best_of(body: HubGenerateBody) -> None:
    field = "parameters.best_of"
    if body.stream:
        raise ValidationFailed("best_of must be 1 in a stream.", field=field)
    if not body.parameters.samples:
        message = "best_of needs sampling: alternatives of a greedy text are all the same."
        raise ValidationFailed(message, field=field)
