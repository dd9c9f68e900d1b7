"""What an assistant is asked and how: shared by conversations and queries."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import StringConstraints

from configs.settings import Settings
from deployments.seam.generation import ChatMessage, GenerationRequest, Sampling
from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.routes.generation import seed_of

TASK = "chat"

PLAIN = r"[^\x00-\x1f\x7f-\x9f]{1,256}"
UserId: TypeAlias = Annotated[str, StringConstraints(max_length=256, pattern=f"^{PLAIN}$")]
"""1 to 256 characters, no control characters among them."""


def chat_request(
    request_id: str,
    card: ModelCard,
    messages: tuple[ChatMessage, ...],
    settings: Settings,
    *,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
) -> GenerationRequest:
    """A chat to be answered, as the settings say where the request does not.

    Its oldest turns are left out where it would not fit the model's window.
    """
    return GenerationRequest(
        request_id=request_id,
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
    """New tokens of an answer; of a small window at most half, so that a message fits as well."""
    most = settings.answer_max_new_tokens
    return most if card.window is None else min(most, max(1, card.window // 2))
