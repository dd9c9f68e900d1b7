"""``POST /v1/completions``: OpenAI's older endpoint, a prompt and what follows it."""

from __future__ import annotations

import asyncio
from codecs import getincrementaldecoder
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from starlette.responses import Response

from deployments.seam.generation import (
    GeneratedSequence,
    GenerationRequest,
    GenerationResult,
    Token,
    TokenLogprob,
)
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.context import (
    Context,
    RequestContext,
    RequestServices,
    Services,
    json_response,
)
from serve_app.ingress.routes.generation_fields import GENERATE, stops, usage
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.sampling import STREAMED, SamplingBody, chunks, failure, now
from serve_app.ingress.routes.openai.shapes import ERRORS, Completion, CompletionChunk, OpenAIError
from serve_app.ingress.streams import begin_stream
from serve_app.ingress.validation.bounded_json import MAX_NUMBERS
from serve_app.ingress.validation.fields import Text, TokenCount, TokenId, example
from serve_app.ingress.validation.limits import check_prompt, check_window

router = InferenceRouter(prefix="/v1", tags=["openai"], responses=ERRORS)

EVENTS = event_stream(unnamed=(CompletionChunk, OpenAIError), done=True)
FIELDS = {"max_new_tokens": "max_tokens"}
MAX_PROMPTS = 16
DEFAULT_MAX_TOKENS = 16
UTF_8 = getincrementaldecoder("utf-8")

TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


def _form(given: Any) -> str:
    """Which of the four forms was meant, so that the others' errors are not reported."""
    match given:
        case [list(), *_]:
            return "list[ids]"
        case [int(), *_]:
            return "ids[]"
        case list():
            return "list[str]"
    return "str"


Prompts = Annotated[
    Annotated[Text, Tag("str")]
    | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS), Tag("list[str]")]
    | Annotated[TokenIds, Tag("ids[]")]
    | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS), Tag("list[ids]")],
    Discriminator(_form),
]


class CompletionBody(SamplingBody):
    """One prompt or several, as text or as token ids, each continued on its own."""

    model_config = example(
        STREAMED, prompt="The capital of France is", max_tokens=16, temperature=0
    )

    max_values = MAX_NUMBERS

    prompt: Prompts
    max_tokens: TokenCount | None = Field(None, description="new tokens; 16 when not given")
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: Literal[False] | None = None
    suffix: None = None
    best_of: Literal[1] | None = None

    @property
    def bound(self) -> int:
        return DEFAULT_MAX_TOKENS if self.max_tokens is None else self.max_tokens

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts one by one: one list of token ids is one prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [each for each in self.prompt if isinstance(each, int)]
        return [ids] if ids else [each for each in self.prompt if not isinstance(each, int)]

    def needed_capabilities(self) -> Iterator[tuple[str, str]]:
        yield from super().needed_capabilities()
        if self.logprobs:
            yield "logprobs", "top_logprobs"


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
    """One text a prompt and choice, or with ``stream`` the pieces of one prompt's."""
    card, request = await _request(body, services, context)
    head = {
        "id": f"cmpl-{context.request_id}",
        "object": "text_completion",
        "created": now(),
        "model": card.name,
    }
    if body.stream:
        return await _stream(body, card.family, request, head, services)
    calls = [
        services.client.call(card.family, "generate", _beginning(request, prompt), FIELDS)
        for prompt in body.prompts
    ]
    answers: list[GenerationResult] = await _all(calls)
    found = [choice for answer in answers for choice in answer.choices]
    prompt_tokens = sum(answer.prompt_tokens for answer in answers)
    return json_response(
        {
            **head,
            "choices": [_choice(index, choice) for index, choice in enumerate(found)],
            "usage": usage(prompt_tokens, sum(choice.tokens for choice in found)),
        }
    )


async def _all(calls: list[Coroutine[Any, Any, GenerationResult]]) -> list[GenerationResult]:
    """All answers, or the first failure, after which the others are cancelled."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _stream(
    body: CompletionBody,
    family: str,
    request: GenerationRequest,
    head: dict[str, Any],
    services: Services,
) -> Response:
    if len(body.prompts) > 1:
        raise ValidationFailed("prompt must be one prompt in a stream.", field="prompt")
    return await begin_stream(
        services.client.open_stream(family, "stream", request, FIELDS),
        lambda stream: chunks(stream, head, _pieces(), reports_usage=body.reports_usage),
        failure,
        services.settings.heartbeat_s,
    )


async def _request(
    body: CompletionBody, services: Services, context: RequestContext
) -> tuple[ModelCard, GenerationRequest]:
    card = await services.catalog.resolve(GENERATE, body.model, "model")
    services.catalog.require(card, GENERATE, body.needed_capabilities())
    body.check_stream()
    check_window(body.bound, card, "max_tokens")
    for prompt in body.prompts:
        if isinstance(prompt, str):
            check_prompt(prompt, services.settings, "prompt")
    request = GenerationRequest(
        request_id=context.request_id,
        session=context.session,
        model=card.name,
        max_new_tokens=body.bound,
        sampling=body.sampling(logprobs=body.logprobs is not None, top_logprobs=body.logprobs or 0),
        stop=stops(body.stop),
        choices=body.n or 1,
    )
    return card, _beginning(request, body.prompts[0])


def _beginning(request: GenerationRequest, prompt: str | list[int]) -> GenerationRequest:
    """The same request behind another prompt."""
    if isinstance(prompt, str):
        return replace(request, prompt=prompt, prompt_ids=None)
    return replace(request, prompt=None, prompt_ids=tuple(prompt))


def _choice(index: int, choice: GeneratedSequence) -> dict[str, Any]:
    return {
        "index": index,
        "text": choice.text,
        "logprobs": _logprobs(choice.logprobs, _offsets(choice)) if choice.logprobs else None,
        "finish_reason": choice.finish_reason,
    }


class Offsets:
    """Counts where in a text each of its tokens begins, in characters.

    A token may be part of a character: the character begins with the first of its tokens, and all
    of them are there.
    """

    def __init__(self) -> None:
        self._decoder = UTF_8(errors="replace")
        self._at = 0

    def of(self, token: TokenLogprob, *, special: bool) -> int:
        """The offset of the next token; ``special`` ones have no text."""
        at = self._at
        if not special:
            self._at += len(self._decoder.decode(token.raw))
        return at


def _offsets(choice: GeneratedSequence) -> list[int]:
    """Tokens of a stop string that ended the text are at its end, for it is not part of it."""
    offsets = Offsets()
    special = choice.special or (False,) * len(choice.logprobs)
    pairs = zip(choice.logprobs, special, strict=True)
    return [min(offsets.of(each, special=mark), len(choice.text)) for each, mark in pairs]


def _pieces() -> Callable[[Token], list[dict[str, Any]]]:
    offsets: dict[int, Offsets] = defaultdict(Offsets)

    def pieces(token: Token) -> list[dict[str, Any]]:
        if not (token.text or token.logprob or token.finish_reason):
            return []
        logprobs = None
        if token.logprob:
            offset = offsets[token.choice].of(token.logprob, special=token.special)
            logprobs = _logprobs((token.logprob,), [offset])
        return [
            {
                "index": token.choice,
                "text": token.text,
                "logprobs": logprobs,
                "finish_reason": token.finish_reason,
            }
        ]

    return pieces


def _logprobs(logprobs: tuple[TokenLogprob, ...], offsets: list[int]) -> dict[str, Any]:
    """The endpoint's own shape; ``text_offset`` counts characters from the answer's start."""
    return {
        "tokens": [item.text for item in logprobs],
        "token_logprobs": [item.logprob for item in logprobs],
        "top_logprobs": [{text: value for text, value, _ in item.top} for item in logprobs],
        "text_offset": offsets,
    }
