"""Native routes of text generation: ``/generate`` and ``/generate/stream``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from pydantic import Field
from starlette.responses import Response

from deployments.seam.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    Sampling,
)
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.documentation.rules import TRUE, when
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import (
    NATIVE_FIELDS,
    Context,
    RequestContext,
    RequestServices,
    Services,
    TaskResult,
)
from serve_app.ingress.routes.generation_fields import GENERATE, seed_of, stops, usage
from serve_app.ingress.routes.huggingface.generation import hub_tasks
from serve_app.ingress.routes.native_events import ErrorEvent, TokenEvent, error_event, token_event
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.streams import event
from serve_app.ingress.validation import fields
from serve_app.ingress.validation.limits import check_prompt, check_window

router = NativeRouter("generation")
router.hub_tasks.add(hub_tasks)

T = TypeVar("T")


class GenerateBody(fields.Body):
    """One prompt and how to continue it. Lengths are in tokens."""

    model_config = fields.example(
        when({"stream": TRUE}, allows={"num_return_sequences": {"enum": [1, None]}}),
        prompt="The capital of France is",
        max_new_tokens=16,
        seed=7,
    )

    prompt: fields.Text
    model_name: fields.ModelName | None = None
    max_length: fields.TokenCount | None = Field(None, description="prompt and new tokens together")
    max_new_tokens: fields.TokenCount | None = None
    temperature: fields.Temperature | None = Field(None, description="0 is greedy")
    top_p: fields.TopP | None = None
    top_k: fields.TopK | None = Field(None, description="0 and -1 are off")
    repetition_penalty: fields.RepetitionPenalty | None = None
    num_return_sequences: fields.Choices = 1
    do_sample: bool = True
    stop: fields.Stops | None = None
    seed: fields.Seed | None = None
    stream: bool = False

    def sampling(self, services: Services) -> Sampling:
        settings = services.settings
        temperature = _or(self.temperature, settings.temperature)
        return Sampling(
            temperature=temperature if self.do_sample else 0.0,
            top_p=_or(self.top_p, settings.top_p),
            top_k=_or(self.top_k, settings.top_k),
            repetition_penalty=_or(self.repetition_penalty, settings.repetition_penalty),
            seed=seed_of(self.seed),
        )


class GeneratedText(fields.Answer):
    """The new text, without the prompt."""

    generated_text: str
    generated_texts: list[str] | None = Field(None, description="with num_return_sequences > 1")
    finish_reason: FinishReason
    usage: dict[str, int]


EVENTS = event_stream({"token": TokenEvent, "result": GeneratedText, "error": ErrorEvent})


@router.inference(
    "/generate",
    GENERATE,
    summary="Continue a prompt",
    response_model=GeneratedText,
    responses=EVENTS,
)
async def generate_route(
    body: GenerateBody, services: RequestServices, context: Context
) -> Response:
    """The whole text, or with ``stream`` the events of ``/generate/stream``."""
    if body.stream:
        return await _stream(body, services, context)
    return await context.respond(await generate(body, services, context), services.turns)


@router.step("generate", GENERATE, answer=GeneratedText, summary="Continue a prompt")
async def generate(body: GenerateBody, services: Services, context: RequestContext) -> TaskResult:
    """The whole text, without the prompt."""
    if body.stream:
        raise ValidationFailed("stream must be false: this answer is whole.", field="stream")
    card, request = await _request(body, services, context)
    generated: GenerationResult = await services.client.call(
        card.family, "generate", request, NATIVE_FIELDS
    )
    texts = [choice.text for choice in generated.choices]
    counts = sum(choice.tokens for choice in generated.choices)
    reason = generated.choices[0].finish_reason
    return TaskResult(_answer(texts, reason, generated.prompt_tokens, counts), card.name)


@router.inference(
    "/generate/stream", GENERATE, summary="Continue a prompt by tokens", responses=EVENTS
)
async def generate_stream(
    body: GenerateBody, services: RequestServices, context: Context
) -> Response:
    """Server-sent events: one ``token`` a token, then one ``result`` or ``error``."""
    return await _stream(body, services, context)


async def _stream(body: GenerateBody, services: Services, context: RequestContext) -> Response:
    if body.num_return_sequences > 1:
        raise ValidationFailed(
            "num_return_sequences must be 1 in a stream: its events carry one text.",
            field="num_return_sequences",
        )
    card, request = await _request(body, services, context, stream=True)
    return await services.stream(
        services.client.open_stream(card.family, "stream", request, NATIVE_FIELDS),
        lambda chunks: _events(chunks, context, card.name),
        lambda error: error_event(error, context.request_id),
        card,
    )


async def _events(
    chunks: ChunkStream, context: RequestContext, model: str
) -> AsyncGenerator[bytes, None]:
    """One event for each token, and at the end the whole answer."""
    texts: list[str] = []
    prompt_tokens, reason = 0, "stop"
    async for chunk in chunks:
        prompt_tokens = chunk.prompt_tokens
        texts += [token.text for token in chunk.tokens]
        reason = chunk.tokens[-1].finish_reason or reason
        yield b"".join(token_event(token) for token in chunk.tokens)
    answer = _answer(["".join(texts)], reason, prompt_tokens, len(texts))
    yield event("result", context.complete(answer, model))


def _answer(texts: list[str], reason: str, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
    stripped = [text.strip() for text in texts]
    all_texts = {"generated_texts": stripped} if len(stripped) > 1 else {}
    return {
        "generated_text": stripped[0],
        **all_texts,
        "finish_reason": reason,
        "usage": usage(prompt_tokens, new_tokens),
    }


async def _request(
    body: GenerateBody, services: Services, context: RequestContext, *, stream: bool = False
) -> tuple[ModelCard, GenerationRequest]:
    card = await services.catalog.resolve(GENERATE, body.model_name)
    check_prompt(body.prompt, services.settings, "prompt")
    check_window(body.max_length, card, "max_length")
    check_window(body.max_new_tokens, card, "max_new_tokens")
    max_length, max_new = body.max_length, body.max_new_tokens
    if max_length is None and max_new is None:
        if stream:
            max_new = services.settings.stream_max_new_tokens
        else:
            max_length = services.settings.max_length
    return card, GenerationRequest(
        request_id=context.request_id,
        session=context.session,
        model=card.name,
        prompt=body.prompt,
        max_new_tokens=max_new,
        max_length=max_length,
        sampling=body.sampling(services),
        stop=stops(body.stop),
        choices=body.num_return_sequences,
    )


def _or(given: T | None, default: T) -> T:
    """An explicit 0 is a value, not "unset"."""
    return default if given is None else given
