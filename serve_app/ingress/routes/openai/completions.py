"""``POST /v1/completions``: OpenAI's older endpoint, a prompt and what follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from deployments.seam.generation import (
    GenerationRequest,
    GenerationResult,
)
from serve_app.ingress.cluster.attempts import wait_until
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.cluster.merged_stream import MergedStream, TokenSource
from serve_app.ingress.cluster.workers import gathered
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    json_response,
)
from serve_app.ingress.routes.generation_fields import GENERATE, stops, usage
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.completion_choices import Echo, choice_pieces, whole_choices
from serve_app.ingress.routes.openai.prompt_list import Prompts, check_prompts, prompt_list
from serve_app.ingress.routes.openai.sampling import STREAMED, SamplingBody, chunks, failure, now
from serve_app.ingress.routes.openai.shapes import ERRORS, Completion, CompletionChunk, OpenAIError
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import MinTokens, example
from serve_app.ingress.validation.limits import check_window
from serve_app.ingress.validation.schema_text import SchemaText

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)

EVENTS = event_stream(unnamed=(CompletionChunk, OpenAIError), done=True)
DEFAULT_MAX_TOKENS = 16
PROMPTS_AT_A_TIME = 32
"""Prompts of one request that replicas work on at a time. Their engines share out slots by
requests, so that other requests do not wait for all of them."""


class CompletionBody(SamplingBody):
    """One prompt or several, as text or as token ids, each continued on its own."""

    model_config = example(
        STREAMED, prompt="The capital of France is", max_tokens=16, temperature=0
    )

    max_values = MAX_NUMBERS

    prompt: Prompts
    max_tokens: MinTokens | None = Field(
        None, description="new tokens; 16 when not given, and 0 only with echo"
    )
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = Field(None, description="the prompt before each text")
    suffix: NoEffect[Literal[""] | None] = None
    add_special_tokens: NoEffect[Literal[True] | None] = None

    @property
    def bound(self) -> int:
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @cached_property
    def prompts(self) -> list[str | list[int]]:
        return prompt_list(self.prompt)

    @property
    def repeated(self) -> Echo | None:
        """The prompts to repeat in the answer; ``None`` without ``echo``."""
        if not self.echo:
            return None
        return Echo(
            self.prompts,
            self.n or 1,
            alone=self.bound == 0,
            logprobs=self.logprobs is not None,
        )

    @property
    def scores_prompts(self) -> bool:
        """Whether log-probabilities of prompts are needed: the text of tokens comes with them."""
        given_as_text = all(isinstance(each, str) for each in self.prompts)
        return bool(self.echo) and (self.logprobs is not None or not given_as_text)

    def check_echo(self) -> None:
        """Refuse what cannot be repeated. Raises ``ValidationFailed``."""
        if self.bound == 0 and not self.echo:
            raise ValidationFailed("max_tokens is at least 1, or 0 with echo.", field="max_tokens")
        if self.bound == 0 and self.stream:
            raise ValidationFailed("max_tokens is at least 1 in a stream.", field="max_tokens")
        if self.stream and self.scores_prompts:
            message = "echo cannot be streamed with logprobs, or of token ids."
            raise ValidationFailed(message, field="echo")

    @property
    def fields(self) -> dict[str, str]:
        """The request's names for fields of the seam."""
        grammar = {"grammar": self.guided.field} if self.guided else {}
        return {"max_new_tokens": "max_tokens", **grammar}

    def needed_capabilities(self) -> Iterator[tuple[str, str]]:
        yield from super().needed_capabilities()
        if self.logprobs:
            yield "logprobs", "top_logprobs"
        if self.scores_prompts:
            yield "echo", "prompt_logprobs"


@router.inference(
    "/completions",
    GENERATE,
    summary="Continue a prompt",
    responses=EVENTS,
    response_model=Completion,
)
async def completions(
    body: CompletionBody, services: RequestServices, context: Context
) -> Response:
    """One text a prompt and choice, or with ``stream`` their pieces, told apart by ``index``."""
    card, request = await _request(body, services, context, await context.schema_text())
    head = {
        "id": f"cmpl-{context.request_id}",
        "object": "text_completion",
        "created": now(),
        "model": card.name,
    }
    if body.stream:
        return await _stream(body, card, request, head, services)
    call = partial(services.client.call, card.family, "generate")
    answers: list[GenerationResult] = await wait_until(
        asyncio.get_running_loop().time() + services.settings.request_timeout_s,
        gathered(
            [partial(call, _beginning(request, each), body.fields) for each in body.prompts],
            PROMPTS_AT_A_TIME,
        ),
    )
    echo = body.repeated
    new_tokens = sum(choice.tokens for answer in answers for choice in answer.choices)
    prompt_tokens = sum(answer.prompt_tokens for answer in answers)
    return json_response(
        {
            **head,
            "choices": list(whole_choices(answers, echo)),
            "usage": usage(prompt_tokens, 0 if echo and echo.alone else new_tokens),
        }
    )


async def _stream(
    body: CompletionBody,
    card: ModelCard,
    request: GenerationRequest,
    head: dict[str, Any],
    services: Services,
) -> Response:
    openings = [
        partial(
            services.client.open_stream,
            card.family,
            "stream",
            _beginning(request, prompt),
            body.fields,
        )
        for prompt in body.prompts
    ]
    return await services.stream(
        _opened(openings, request.choices, services),
        lambda stream: chunks(stream, head, choice_pieces(body.repeated), body.usage_reports),
        failure,
        card,
    )


async def _opened(
    openings: Sequence[Callable[[], Awaitable[ChunkStream]]], choices: int, services: Services
) -> TokenSource:
    """The stream of one prompt, or that of several."""
    if len(openings) == 1:
        return await openings[0]()
    stream = MergedStream(
        openings,
        choices,
        workers=PROMPTS_AT_A_TIME,
        timeout_s=services.settings.request_timeout_s,
    )
    await stream.start()
    return stream


async def _request(
    body: CompletionBody, services: Services, context: RequestContext, schemas: SchemaText
) -> tuple[ModelCard, GenerationRequest]:
    card = await services.catalog.resolve(GENERATE, body.model, "model", body.needed_capabilities())
    body.check_stream()
    body.check_echo()
    check_window(body.bound, card, "max_tokens")
    body.check_min_tokens(body.bound, "max_tokens")
    check_prompts(
        body.prompts,
        services.settings,
        choices=body.n or 1,
        tokens=body.bound,
        logprobs=body.logprobs is not None,
        echoed=bool(body.echo),
        scored=body.scores_prompts,
    )
    request = GenerationRequest(
        request_id=context.request_id,
        session=context.session,
        model=card.name,
        max_new_tokens=max(1, body.bound),
        min_new_tokens=body.min_tokens or 0,
        ignore_eos=bool(body.ignore_eos),
        keep_last=body.keep_last,
        truncate=body.truncate,
        grammar=body.guided.grammar(schemas) if body.guided else None,
        sampling=replace(
            body.sampling(
                logprobs=body.logprobs is not None or body.scores_prompts,
                top_logprobs=body.logprobs or 0,
            ),
            prompt_logprobs=body.scores_prompts,
        ),
        stop=stops(body.stop),
        choices=body.n or 1,
    )
    return card, _beginning(request, body.prompts[0])


def _beginning(request: GenerationRequest, prompt: str | list[int]) -> GenerationRequest:
    """The same request behind another prompt."""
    if isinstance(prompt, str):
        return replace(request, prompt=prompt, prompt_ids=None)
    return replace(request, prompt=None, prompt_ids=tuple(prompt))
