"""Routes of conversations: chats whose history is stored by the caller's key and a user's id."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from starlette.responses import Response

from deployments.seam.generation import FinishReason, GenerationRequest, GenerationResult
from serve_app.ingress.caller import Caller
from serve_app.ingress.cluster.chunk_stream import ChunkStream
from serve_app.ingress.conversations import Conversation, Conversations, Lease, Turn
from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import MethodNotAllowed, ModelNotFound, Unavailable
from serve_app.ingress.model_card import ModelCard
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


AppConversations = Annotated[Conversations, Depends(conversations_of)]
UserInPath = Annotated[
    ConversationUser, Path(description="may contain slashes, best encoded as %2F")
]


async def user_of(
    user_id: UserInPath, request: Request, caller: Caller, conversations: AppConversations
) -> str:
    """The user that a path names: everything behind ``/conversations/``, slashes included.

    A path that ends in ``/messages`` belongs to the route of a user's messages, which takes POST
    alone, unless the slash before it is encoded or there is a user of that name.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    if MESSAGES.search(raw) and not await conversations.exists(caller, user_id):
        raise MethodNotAllowed("The route does not take this method.", headers={"Allow": "POST"})
    return user_id


User = Annotated[str, Depends(user_of)]


@dataclass(frozen=True, slots=True)
class MessageExchange:
    """One message that is to be answered, with the lease of its conversation.

    ``new_conversation`` replaces the user's conversation once the answer is there. ``fields`` are
    this route's names for the fields of the model side.
    """

    user_id: str
    message: str
    card: ModelCard
    request: GenerationRequest
    lease: Lease
    fields: dict[str, str]
    new_conversation: Conversation | None = None

    async def stored_answer(
        self, text: str, reason: FinishReason, prompt_tokens: int, new_tokens: int
    ) -> dict[str, Any]:
        """The body of the answer, whose turn is stored by then. Raises when it was cut off."""
        if reason == "cancelled":
            raise Unavailable("The answer was cut off by the server, so it was not stored.")
        response = text.strip()
        await self.lease.add(Turn(self.message, response), self.new_conversation)
        return {
            "user_id": self.user_id,
            "response": response,
            "finish_reason": reason,
            "usage": usage(prompt_tokens, new_tokens),
        }


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An exchange, and the stream of its answer."""

    exchange: MessageExchange
    chunks: ChunkStream

    def close(self) -> None:
        self.chunks.close()
        self.exchange.lease.release()


@router.inference("/conversations", CHAT, summary="Begin a conversation", response_model=Begun)
async def begin_conversation(
    body: BeginBody,
    services: RequestServices,
    context: Context,
    caller: Caller,
    conversations: AppConversations,
) -> Response:
    """Without a message there is a greeting. The earlier conversation goes once that is certain."""
    card = await services.catalog.resolve(CHAT, body.model_name)
    message = body.initial_message
    if message is not None:
        check_prompt(message, services.settings, "initial_message")
    lease = await conversations.lease(caller, body.user_id, services.deadline)
    model = card.name if body.model_name else None
    try:
        if message is None:
            await lease.begin(model)
            return context.answer({"user_id": body.user_id, "response": GREETING}, card.name)
        new = Conversation(model=model)
        request = chat_request(
            context,
            card,
            new.messages_with(message),
            services.settings,
            conversation=f"{caller}:{body.user_id}",
        )
        fields = _fields("initial_message")
        exchange = MessageExchange(body.user_id, message, card, request, lease, fields, new)
        return await _whole_answer(exchange, services, context)
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
    context: Context,
    caller: Caller,
    conversations: AppConversations,
) -> Response:
    """An unknown user begins a conversation. Messages of one user are answered one by one.

    A turn is kept when its answer is whole, and nothing of it otherwise.
    """
    card = await services.catalog.resolve(CHAT, body.model_name)
    check_prompt(body.message, services.settings, "message")

    async def begin() -> MessageExchange:
        """Lease the conversation, once no other message of it is being answered, and read it."""
        nonlocal card
        lease = await conversations.lease(caller, user_id, services.deadline)
        try:
            earlier = await lease.read()
            card = card if body.model_name else await _model_of(earlier, services, card)
            request = chat_request(
                context,
                card,
                earlier.messages_with(body.message),
                services.settings,
                conversation=f"{caller}:{user_id}",
            )
        except BaseException:
            lease.release()
            raise
        return MessageExchange(user_id, body.message, card, request, lease, _fields("message"))

    if body.stream:
        return await begin_stream(
            services.in_time(_opened(begin, services)),
            lambda answer: _events(answer, context),
            lambda error: error_event(error, context.request_id),
            services.settings.heartbeat_s,
            lambda: services.loading(card)(),
        )
    exchange = await begin()
    try:
        return await _whole_answer(exchange, services, context)
    finally:
        exchange.lease.release()


@router.get("/conversations", summary="Who talks here", response_model=Users)
async def list_users(
    page: Annotated[Page, Query()],
    context: Context,
    caller: Caller,
    conversations: AppConversations,
) -> Response:
    """The users of the caller's key, in order; ``next_cursor`` leads to those that follow."""
    found = await conversations.users(caller, page.limit + 1, page.after)
    shown = found[: page.limit]
    following = cursor_after(shown[-1]) if len(found) > page.limit else None
    return context.answer({"user_ids": shown, "next_cursor": following})


@router.get("/conversations/{user_id:path}", summary="What was said", response_model=History)
async def read_conversation(
    user_id: User, context: Context, caller: Caller, conversations: AppConversations
) -> Response:
    """Oldest turn first; an empty list where there is no conversation."""
    turns = (await conversations.read(caller, user_id)).turns
    shown = [{"user": turn.user, "assistant": turn.assistant} for turn in turns]
    return context.answer({"user_id": user_id, "history": shown})


@router.delete("/conversations/{user_id:path}", summary="Forget a conversation", status_code=204)
async def forget_conversation(
    user_id: User, caller: Caller, conversations: AppConversations
) -> Response:
    """At once, and for good: an answer that is being written is not stored either."""
    await conversations.delete(caller, user_id)
    return Response(status_code=204)


async def _whole_answer(
    exchange: MessageExchange, services: Services, context: RequestContext
) -> Response:
    generated: GenerationResult = await services.client.call(
        exchange.card.family, "generate", exchange.request, exchange.fields
    )
    (choice,) = generated.choices
    body = await exchange.stored_answer(
        choice.text, choice.finish_reason, generated.prompt_tokens, choice.tokens
    )
    return context.answer(body, exchange.card.name)


async def _opened(
    begin: Callable[[], Awaitable[MessageExchange]], services: Services
) -> StreamedAnswer:
    exchange = await begin()
    family, request = exchange.card.family, exchange.request
    try:
        chunks = await services.client.open_stream(family, "stream", request, exchange.fields)
    except BaseException:
        exchange.lease.release()
        raise
    return StreamedAnswer(exchange, chunks)


async def _events(answer: StreamedAnswer, context: RequestContext) -> AsyncGenerator[bytes, None]:
    """One event for each token, and at the end the whole answer, which is stored by then."""
    exchange = answer.exchange
    texts: list[str] = []
    prompt_tokens = 0
    reason: FinishReason = "stop"
    async for chunk in answer.chunks:
        exchange.lease.check()
        prompt_tokens = chunk.prompt_tokens
        texts += [token.text for token in chunk.tokens]
        reason = chunk.tokens[-1].finish_reason or reason
        yield b"".join(token_event(token) for token in chunk.tokens)
    body = await exchange.stored_answer("".join(texts), reason, prompt_tokens, len(texts))
    yield event("result", context.complete(body, exchange.card.name))


async def _model_of(earlier: Conversation, services: Services, default: ModelCard) -> ModelCard:
    """The model that the conversation was begun with, while it is served."""
    try:
        return await services.catalog.resolve(CHAT, earlier.model) if earlier.model else default
    except ModelNotFound:
        return default


def _fields(message: str) -> dict[str, str]:
    """This route's names for the fields of the model side; the chat is in the field ``message``."""
    return {"model": "model_name", "prompt": message, "max_new_tokens": message}
