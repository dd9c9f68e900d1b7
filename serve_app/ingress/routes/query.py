"""``POST /query``: PRSM's QueryRequest, answered as its QueryResponse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from deployments.seam.generation import ChatMessage, FinishReason, GenerationResult
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.chat_request import CHAT, chat_request
from serve_app.ingress.routes.context import Context, RequestServices, TaskResult
from serve_app.ingress.routes.conversation_shapes import UserId
from serve_app.ingress.routes.generation_fields import usage
from serve_app.ingress.routes.native_router import NativeRouter
from serve_app.ingress.validation.fields import (
    Answer,
    Body,
    ModelName,
    Temperature,
    Text,
    TextOrObject,
    TokenCount,
    example,
)
from serve_app.ingress.validation.limits import check_prompt, check_window

router = NativeRouter("generation")

FIELDS = {"max_new_tokens": "max_tokens"}
JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Not orjson, which takes no integers of more than 64 bits."""


class QueryBody(Body):
    """One question, and what to know for its answer. ``max_tokens`` counts new tokens."""

    model_config = example(
        prompt="In which city does Ada live?",
        user_id="u1",
        context={"name": "Ada", "city": "Berlin"},
    )

    prompt: Text
    user_id: UserId
    max_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    context: TextOrObject | None = None
    model: ModelName | None = None


class Metadata(BaseModel):
    """``device`` is where the answer was decoded."""

    huggingface_integration: Literal[True]
    device: str


class QueryAnswer(Answer):
    """``token_usage`` counts the tokens of prompt and answer together."""

    query_id: str
    final_answer: str
    user_id: str
    token_usage: int
    finish_reason: FinishReason
    usage: dict[str, int]
    metadata: Metadata


@router.task("/query", CHAT, answer=QueryAnswer, summary="Answer a question of PRSM's")
async def query(body: QueryBody, services: RequestServices, context: Context) -> TaskResult:
    """Nothing is remembered; see ``/conversations`` for that."""
    card = await services.catalog.resolve(CHAT, body.model, "model")
    check_window(body.max_tokens, card, "max_tokens")
    check_prompt(body.prompt, services.settings, "prompt")
    background = _context_text(body.context, services.settings.max_prompt_bytes)
    check_prompt(background, services.settings, "context")
    request = chat_request(
        context,
        card,
        (ChatMessage("user", f"{background}\n\n{body.prompt}" if background else body.prompt),),
        services.settings,
        max_new_tokens=body.max_tokens,
        temperature=body.temperature,
    )
    generated: GenerationResult = await services.client.call(
        card.family, "generate", request, FIELDS
    )
    (choice,) = generated.choices
    counts = usage(generated.prompt_tokens, choice.tokens)
    return TaskResult(
        {
            "query_id": f"hf_{body.user_id}_{uuid.uuid4().hex}",
            "final_answer": choice.text.strip(),
            "user_id": body.user_id,
            "token_usage": counts["total_tokens"],
            "finish_reason": choice.finish_reason,
            "usage": counts,
            "metadata": {"huggingface_integration": True, "device": generated.device},
        },
        card.name,
    )


def _context_text(context: str | Mapping[str, Any] | None, max_bytes: int) -> str:
    """The context as text: a text as it is, an object as one line for each of its keys.

    It stands before the question in the user's message: not every template has system messages.
    Raises as soon as there are more than ``max_bytes`` characters, before it writes out the rest.
    """
    if context is None or isinstance(context, str):
        return context or ""
    lines: list[str] = []
    size = -1  # the first line has no line break before it
    for key, value in context.items():
        lines.append(f"{key}: {_plain(value)}")
        size += 1 + len(lines[-1])
        if size > max_bytes:
            message = f"context has more bytes than the limit of {max_bytes}."
            raise ValidationFailed(message, field="context")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else JSON.encode(value)
