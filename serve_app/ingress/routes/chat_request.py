"""The chat request of a conversation or a query, with the defaults of the settings."""

from __future__ import annotations

from configs.settings import Settings
from deployments.seam.generation import ChatMessage, GenerationRequest, Sampling
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext
from serve_app.ingress.routes.generation_fields import seed_of

CHAT = "chat"


def chat_request(
    context: RequestContext,
    card: ModelCard,
    messages: tuple[ChatMessage, ...],
    settings: Settings,
    *,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    conversation: str = "",
) -> GenerationRequest:
    """The request for one answer to ``messages``; the settings say what the caller leaves out.

    The oldest messages are left out where the chat would not fit the model's window. Requests of
    one ``conversation`` go to one replica, unless the client names a session of its own.
    """
    return GenerationRequest(
        request_id=context.request_id,
        session=context.session or conversation,
        model=card.name,
        messages=messages,
        max_new_tokens=max_new_tokens or _room(card, settings),
        sampling=Sampling(
            temperature=settings.temperature if temperature is None else temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            repetition_penalty=settings.repetition_penalty,
            seed=seed_of(None),
        ),
        trim_oldest=True,
    )


def _room(card: ModelCard, settings: Settings) -> int:
    """New tokens of an answer; at most half of a small window, so that a message fits as well."""
    new_tokens = settings.answer_max_new_tokens
    return new_tokens if card.window is None else min(new_tokens, max(1, card.window // 2))
