"""``POST /v1/responses``: a chat and its answer, whole or in events."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.documentation.openapi import event_stream
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import Context, RequestServices, json_response
from serve_app.ingress.routes.model_path_router import ModelPathRouter, PathModel, with_path_model
from serve_app.ingress.routes.openai.responses.answer import ended, response_object, whole_output
from serve_app.ingress.routes.openai.responses.body import NAMES, ResponsesBody
from serve_app.ingress.routes.openai.responses.events import ResponseEvents
from serve_app.ingress.routes.openai.shapes import ERRORS
from serve_app.ingress.routes.translated_chat import TranslatedChat

router = ModelPathRouter(prefix="", tags=["openai"], responses=ERRORS)


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseObject(BaseModel):
    """An answer, with what the request said besides."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "in_progress", "failed"]
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None


class ResponseEvent(BaseModel):
    """What every event has, beside the fields of its ``type``."""

    type: str
    sequence_number: int


EVENTS = event_stream(
    {
        f"response.{name}": ResponseEvent
        for name in (
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
            "incomplete",
            "failed",
        )
    }
)


@router.inference_twice(
    "/v1/responses",
    CHAT,
    name="responses",
    summary="Answer a chat, in the Responses API",
    responses=EVENTS,
    response_model=ResponseObject,
)
async def responses(
    body: ResponsesBody, model: PathModel, services: RequestServices, context: Context
) -> Response:
    """One answer, or with ``stream`` its events. Nothing is stored."""
    body = with_path_model(body, model)
    if body.stream_options is not None and not body.stream:
        raise ValidationFailed("stream_options needs stream to be true.", field="stream_options")
    chat = await TranslatedChat.of(
        body.chat, NAMES, services, context, trim_oldest=body.truncation == "auto"
    )
    response = response_object(body, f"resp_{context.request_id}", chat.card.name)
    if body.stream:
        events = ResponseEvents(response, chat.calls)
        return await services.stream(chat.stream(), events.of, events.failed, chat.card)
    result = await chat.whole()
    output, reason = whole_output(result, chat.calls, response["id"])
    new_tokens = sum(choice.tokens for choice in result.choices)
    return json_response(ended(response, output, reason, result.prompt_tokens, new_tokens))
