"""Conversations: chats whose history is kept here, by the caller's key and a user's id."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.responses import Response

from deployments.seam.generation import FinishReason, GenerationRequest, GenerationResult
from serve_app.ingress.caller import Caller
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.conversations import Conversation, Conversations, Lease, Turn
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import MethodNotAllowed, ModelNotFound, Unavailable
from serve_app.ingress.routes.chat_request import CHAT, chat_request
from serve_app.ingress.routes.context import (
    NATIVE_PREFIX,
    Context,
    RequestContext,
    RequestServices,
    Services,
)
from serve_app.ingress.routes.conversation_shapes import (
    BeginBody,
    Begun,
    ConversationAnswer,
    ConversationUser,
    History,
    MessageBody,
    Page,
    Users,
    cursor_after,
)
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.native_events import ErrorEvent, TokenEvent, error_event, token_event
from serve_app.ingress.streams import begin_stream, event
from serve_app.ingress.validation.limits import check_prompt

router = InferenceRouter(prefix=NATIVE_PREFIX, tags=["conversations"])

GREETING = "Hello! How can I help you today?"
EVENTS = event_stream({"token": TokenEvent, "result": ConversationAnswer, "error": ErrorEvent})
MESSAGES = re.compile(rb"/conversations/.+/messages$")


async def conversations_of(request: Request) -> Conversations:
    conversations: Conversations = request.app.state.conversations
    return conversations


Kept = Annotated[Conversations, Depends(conversations_of)]
UserInPath = Annotated[
    ConversationUser, Path(description="may contain slashes, best encoded as %2F")
]


async def user_of(user_id: UserInPath, request: Request, caller: Caller, kept: Kept) -> str:
    """The user that a path names: all of it behind ``/conversations/``, slashes and all.

    A path that ends in ``/messages`` is that of a user's messages, which takes POST alone; unless
    its slash is encoded, or there is a user of that name.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    if MESSAGES.search(raw) and not await kept.exists(caller, user_id):
        raise MethodNotAllowed("The route does not take this method.", headers={"Allow": "POST"})
    return user_id


User = Annotated[str, Depends(user_of)]


@dataclass(frozen=True, slots=True)
class MessageExchange:
    """One message on its way to its answer, with the lease of its conversation.

    ``begun`` is set when the message begins a conversation anew.
    """

    user_id: str
    message: str
    card: ModelCard
    request: GenerationRequest
    lease: Lease
    fields: dict[str, str]
    begun: Conversation | None = None

    async def answered(
        self, text: str, reason: FinishReason, prompt_tokens: int, new_tokens: int
    ) -> dict[str, Any]:
        """The answer, once its turn is stored; raises when it is not whole."""
        if reason == "cancelled":
            raise Unavailable("The answer was cut off by the server, so it was not stored.")
        response = text.strip()
        await self.lease.add(Turn(self.message, response), self.begun)
        return {
            "user_id": self.user_id,
            "response": response,
            "finish_reason": reason,
            "usage": usage(prompt_tokens, new_tokens),
        }


@dataclass(frozen=True, slots=True)
class Streamed:
    """An exchange whose answer has begun."""

    exchange: MessageExchange
    bursts: ChunkStream

    def close(self) -> None:
        self.bursts.close()
        self.exchange.lease.release()


@router.inference("/conversations", CHAT, summary="Begin a conversation", response_model=Begun)
async def begin_conversation(
    body: BeginBody, services: RequestServices, asked: Context, caller: Caller, kept: Kept
) -> Response:
    """Without a message there is a greeting. The earlier conversation goes once that is certain."""
    card = services.catalog.resolve(CHAT, body.model_name)
    message = body.initial_message
    if message is not None:
        check_prompt(message, services.settings, "initial_message")
    lease = await kept.lease(caller, body.user_id)
    model = card.name if body.model_name else None
    try:
        if message is None:
            await lease.begin(model)
            return asked.answer({"user_id": body.user_id, "response": GREETING}, card.name)
        begun = Conversation(model=model)
        request = chat_request(
            asked.request_id, card, begun.messages_with(message), services.settings
        )
        fields = _fields("initial_message")
        exchange = MessageExchange(body.user_id, message, card, request, lease, fields, begun)
        return await _whole(exchange, services, asked)
    finally:
        lease.release()


@router.inference(
    "/conversations/{user_id:path}/messages",
    CHAT,
    summary="Say something, and be answered",
    response_model=ConversationAnswer,
    responses=EVENTS,
)
async def say_in_conversation(
    body: MessageBody,
    user_id: UserInPath,
    services: RequestServices,
    asked: Context,
    caller: Caller,
    kept: Kept,
) -> Response:
    """An unknown user begins a conversation. Messages of one user are answered one by one.

    A turn is kept when its answer is whole, and nothing of it otherwise.
    """
    named = services.catalog.resolve(CHAT, body.model_name)
    check_prompt(body.message, services.settings, "message")

    async def exchange() -> MessageExchange:
        """The message behind what was said before, once no other one is being answered."""
        lease = await kept.lease(caller, user_id)
        try:
            earlier = await lease.read()
            card = named if body.model_name else _model_of(earlier, services, named)
            request = chat_request(
                asked.request_id, card, earlier.messages_with(body.message), services.settings
            )
        except BaseException:
            lease.release()
            raise
        return MessageExchange(user_id, body.message, card, request, lease, _fields("message"))

    if body.stream:
        return await begin_stream(
            _opened(exchange, services),
            lambda streamed: _events(streamed, asked),
            lambda error: error_event(error, asked.request_id),
            services.settings.heartbeat_s,
        )
    one = await exchange()
    try:
        return await _whole(one, services, asked)
    finally:
        one.lease.release()


@router.get("/conversations", summary="Who talks here", response_model=Users)
async def list_users(
    page: Annotated[Page, Query()], asked: Context, caller: Caller, kept: Kept
) -> Response:
    """The users of the caller's key, in order; ``next_cursor`` leads to those that follow."""
    found = await kept.users(caller, page.limit + 1, page.after)
    shown = found[: page.limit]
    following = cursor_after(shown[-1]) if len(found) > page.limit else None
    return asked.answer({"user_ids": shown, "next_cursor": following})


@router.get("/conversations/{user_id:path}", summary="What was said", response_model=History)
async def read_conversation(user_id: User, asked: Context, caller: Caller, kept: Kept) -> Response:
    """Oldest turn first; an empty list where there is no conversation."""
    turns = (await kept.read(caller, user_id)).turns
    shown = [{"user": turn.user, "assistant": turn.assistant} for turn in turns]
    return asked.answer({"user_id": user_id, "history": shown})


@router.delete("/conversations/{user_id:path}", summary="Forget a conversation", status_code=204)
async def forget_conversation(user_id: User, caller: Caller, kept: Kept) -> Response:
    """At once, and for good: an answer that is being written is not stored either."""
    await kept.delete(caller, user_id)
    return Response(status_code=204)


async def _whole(exchange: MessageExchange, services: Services, asked: RequestContext) -> Response:
    generated: GenerationResult = await services.client.call(
        exchange.card.family, "generate", exchange.request, exchange.fields
    )
    (choice,) = generated.choices
    body = await exchange.answered(
        choice.text, choice.finish_reason, generated.prompt_tokens, choice.tokens
    )
    return asked.answer(body, exchange.card.name)


async def _opened(asked: Callable[[], Awaitable[MessageExchange]], services: Services) -> Streamed:
    exchange = await asked()
    family, request = exchange.card.family, exchange.request
    try:
        bursts = await services.client.open_stream(family, "stream", request, exchange.fields)
    except BaseException:
        exchange.lease.release()
        raise
    return Streamed(exchange, bursts)


async def _events(streamed: Streamed, asked: RequestContext) -> AsyncGenerator[bytes, None]:
    """The tokens' events in order, and last the answer, which is stored by then."""
    exchange = streamed.exchange
    texts: list[str] = []
    prompt_tokens = 0
    reason: FinishReason = "stop"
    async for burst in streamed.bursts:
        exchange.lease.check()
        prompt_tokens = burst.prompt_tokens
        texts += [token.text for token in burst.tokens]
        reason = burst.tokens[-1].finish_reason or reason
        yield b"".join(token_event(token) for token in burst.tokens)
    body = await exchange.answered("".join(texts), reason, prompt_tokens, len(texts))
    yield event("result", asked.complete(body, exchange.card.name))


def _model_of(earlier: Conversation, services: Services, default: ModelCard) -> ModelCard:
    """The model that the conversation was begun with, while it is services."""
    try:
        return services.catalog.resolve(CHAT, earlier.model) if earlier.model else default
    except ModelNotFound:
        return default


def _fields(message: str) -> dict[str, str]:
    """What the model side has against a chat is about the message, whose field is this one's."""
    return {"model": "model_name", "prompt": message, "max_new_tokens": message}
