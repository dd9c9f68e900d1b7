"""``POST /v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam.tokenization import TokenizeRequest, TokenizeResult
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.routes.anthropic.answer import MessageEvents, whole_message
from serve_app.ingress.routes.anthropic.body import NAMES, CountTokensBody, MessagesBody
from serve_app.ingress.routes.anthropic.errors import ERRORS, AnthropicError
from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel, with_path_model
from serve_app.ingress.routes.translated_chat import TranslatedChat

router = ModelPathRouter(prefix="", tags=["anthropic"], responses=ERRORS)


Beta = Annotated[
    bool | None,
    Query(description="sent by Anthropic's clients with what they call beta; it changes nothing"),
]


class AnthropicMessage(BaseModel):
    """A message of the assistant's: blocks of text and of calls."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: dict[str, int]


class MessageEvent(BaseModel):
    """What every event has, beside the fields of its ``type``."""

    type: str


class CountedTokens(BaseModel):
    input_tokens: int


KINDS = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)
EVENTS = event_stream({**dict.fromkeys(KINDS, MessageEvent), "error": AnthropicError})


@router.inference_twice(
    "/v1/messages",
    CHAT,
    name="anthropic_messages",
    summary="Anthropic: continue a chat",
    responses=EVENTS,
    response_model=AnthropicMessage,
)
async def anthropic_messages(
    body: MessagesBody,
    model: PathModel,
    services: RequestServices,
    context: Context,
    beta: Beta = None,
) -> Response:
    """One message, or with ``stream`` its events."""
    body = with_path_model(body, model)
    chat = await TranslatedChat.of(body.chat(), NAMES, services, context)
    if body.stream:
        events = MessageEvents(context.request_id, chat.card.name, chat.calls)
        return await services.stream(chat.stream(), events.of, events.failed, chat.card)
    result = await chat.whole()
    return json_response(whole_message(result, chat.calls, context.request_id, chat.card.name))


@router.inference_twice(
    "/v1/messages/count_tokens",
    CHAT,
    name="anthropic_count_tokens",
    summary="Anthropic: count a chat's tokens",
    response_model=CountedTokens,
)
async def anthropic_count_tokens(
    body: CountTokensBody,
    model: PathModel,
    services: RequestServices,
    context: Context,
    beta: Beta = None,
) -> Response:
    """The tokens that the model would read; nothing is decoded."""
    body = with_path_model(body, model)
    chat = await TranslatedChat.of(body.prompt(), NAMES, services, context)
    request = TokenizeRequest(
        chat.card.name, messages=chat.request.messages, tools=chat.request.tools
    )
    counted: TokenizeResult = await services.client.call(
        chat.card.family, "tokenize", request, chat.fields
    )
    return json_response({"input_tokens": len(counted.ids)})
