"""``POST /v1/chat/completions``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from deployments.seam import (
    ChatMessage,
    Choice,
    Generated,
    GenerationRequest,
    Grammar,
    Token,
    TokenLogprob,
)
from serve_app.body import JsonRoute
from serve_app.catalog import ModelCard
from serve_app.errors import ValidationFailed
from serve_app.fields import Body, TokenCount, TopLogprobs, example
from serve_app.limits import check_prompt, check_window
from serve_app.routes.generation import stops, usage
from serve_app.routes.openai.response_format import ResponseFormat
from serve_app.routes.openai.sampling import SamplingBody, chunks, failure, now
from serve_app.routes.openai.shapes import ERRORS, ChatCompletion
from serve_app.routes.services import Asked, Asking, Served, Services, json_response
from serve_app.streams import EVENT_STREAM, EventStream, ending

router = APIRouter(prefix="/v1", tags=["openai"], route_class=JsonRoute, responses=ERRORS)


class TextPart(Body):
    type: Literal["text"]
    text: str


class Message(Body):
    """One turn. Content is text, whole or in parts; images are not read by these models."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1, max_length=2048, fail_fast=True)]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)

    def plain(self) -> ChatMessage:
        """Developer messages are what later OpenAI models call system messages."""
        return ChatMessage("system" if self.role == "developer" else self.role, self.text)


class ChatBody(SamplingBody):
    """A chat to be continued by one assistant turn, or by ``n`` alternatives of it."""

    model_config = example(
        messages=[{"role": "user", "content": "What is the capital of France?"}], temperature=0
    )

    messages: Annotated[list[Message], Field(min_length=1, max_length=2048, fail_fast=True)]
    max_completion_tokens: TokenCount | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _coherent(self) -> ChatBody:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    def used(self) -> Iterator[tuple[str, str]]:
        yield from super().used()
        if self.top_logprobs:
            yield "top_logprobs", "top_logprobs"
        if self.tools:
            yield "tools", "tools"
        if self.grammar is not None:
            yield "response_format", "response_format"

    @property
    def grammar(self) -> Grammar | None:
        return self.response_format.grammar() if self.response_format else None

    @property
    def bound(self) -> tuple[str, int | None]:
        """The field that bounds the new tokens, and its value."""
        if self.max_completion_tokens is not None:
            return "max_completion_tokens", self.max_completion_tokens
        return "max_tokens", self.max_tokens


@router.post(
    "/chat/completions",
    summary="Continue a chat",
    responses=EVENT_STREAM,
    response_model=ChatCompletion,
)
async def chat_completions(body: ChatBody, served: Served, asking: Asking) -> Response:
    """One answer, or with ``stream`` its pieces as they are decoded."""
    card, request, fields = _request(body, served, asking)
    head = {"id": f"chatcmpl-{asking.request_id}", "created": now(), "model": card.name}
    if body.stream:
        bursts = await served.calls.open(card.family, "stream", request, fields)
        head["object"] = "chat.completion.chunk"
        pieces = chunks(bursts, head, _pieces(), reports_usage=body.reports_usage)
        return EventStream(ending(pieces, failure), served.settings.heartbeat_s, bursts.close)
    generated: Generated = await served.calls.ask(card.family, "generate", request, fields)
    new_tokens = sum(choice.tokens for choice in generated.choices)
    return json_response(
        {
            **head,
            "object": "chat.completion",
            "choices": [_choice(i, choice) for i, choice in enumerate(generated.choices)],
            "usage": usage(generated.prompt_tokens, new_tokens),
        }
    )


def _request(
    body: ChatBody, served: Services, asking: Asked
) -> tuple[ModelCard, GenerationRequest, dict[str, str]]:
    card = served.catalog.resolve("chat", body.model, "model")
    served.catalog.require(card, "chat", body.used())
    field, bound = body.bound
    if body.max_tokens is not None and field != "max_tokens":
        raise ValidationFailed(
            "max_tokens and max_completion_tokens exclude each other.", field="max_tokens"
        )
    check_window(bound, card, field)
    for message in body.messages:
        check_prompt(message.text, served.settings, "messages")
    check_prompt("".join(message.text for message in body.messages), served.settings, "messages")
    request = GenerationRequest(
        request_id=asking.request_id,
        model=card.name,
        messages=tuple(message.plain() for message in body.messages),
        grammar=body.grammar,
        max_new_tokens=bound,
        sampling=body.sampling(logprobs=bool(body.logprobs), top_logprobs=body.top_logprobs or 0),
        stop=stops(body.stop),
        choices=body.n or 1,
    )
    fields = {"prompt": "messages", "max_new_tokens": field, "grammar": "response_format"}
    return card, request, fields


def _choice(index: int, choice: Choice) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": _logprobs(choice.logprobs) if choice.logprobs else None,
        "finish_reason": choice.finish_reason,
    }


def _pieces() -> Callable[[Token], list[dict[str, Any]]]:
    """The role opens each choice, and its finish reason closes it with an empty delta."""
    opened: set[int] = set()

    def pieces(token: Token) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        logprobs = _logprobs((token.logprob,)) if token.logprob else None

        def piece(delta: dict[str, Any], logprobs: Any, reason: str | None) -> None:
            made.append(
                {
                    "index": token.choice,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": reason,
                }
            )

        if token.choice not in opened:
            opened.add(token.choice)
            piece({"role": "assistant", "content": ""}, None, None)
        if token.text or logprobs:
            piece({"content": token.text}, logprobs, None)
        if token.finish_reason:
            piece({}, None, token.finish_reason)
        return made

    return pieces


def _logprobs(logprobs: tuple[TokenLogprob, ...]) -> dict[str, Any]:
    return {
        "content": [
            {
                "token": item.text,
                "logprob": item.logprob,
                "bytes": list(item.raw),
                "top_logprobs": [
                    {"token": text, "logprob": logprob, "bytes": list(raw)}
                    for text, logprob, raw in item.top
                ],
            }
            for item in logprobs
        ],
        "refusal": None,
    }
