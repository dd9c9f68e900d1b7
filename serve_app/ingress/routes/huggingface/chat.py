"""``POST /models/{model_id}/v1/chat/completions``: OpenAI's route, below a model."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field, model_validator
from starlette.responses import Response

from serve_app.ingress.routes.chat_request import CHAT
from serve_app.ingress.routes.context import Context, RequestServices
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.openai.chat import EVENTS, ChatBody, chat_completions
from serve_app.ingress.routes.openai.response_format import ResponseFormat
from serve_app.ingress.routes.openai.shapes import ERRORS, ChatCompletion
from serve_app.ingress.validation.effects import Overruled

router = InferenceRouter(prefix="/models", tags=["hugging face"], responses=ERRORS)

SCHEMA_TYPES = frozenset({"json", "json_object"})


class HubChatBody(ChatBody):
    """A chat as ``InferenceClient`` sends it.

    ``model`` is "dummy" or the URL: the path decides. A schema comes as TGI's ``{"type":
    "json_object", "value": schema}``.
    """

    model: Overruled[Annotated[str, Field(max_length=2048)] | None] = None
    response_format: ResponseFormat | None = Field(
        None, description='also TGI\'s `{"type": "json", "value": schema}`'
    )

    @model_validator(mode="before")
    @classmethod
    def _schema_as_openai_says_it(cls, body: Any) -> Any:
        wanted = body.get("response_format") if isinstance(body, dict) else None
        if not (isinstance(wanted, dict) and set(wanted) == {"type", "value"}):
            return body
        kind, value = wanted["type"], wanted["value"]
        if not (isinstance(kind, str) and kind in SCHEMA_TYPES and isinstance(value, dict)):
            return body
        schema = {"name": "answer", "schema": value}
        return {**body, "response_format": {"type": "json_schema", "json_schema": schema}}


@router.inference(
    "/{model_id:path}/v1/chat/completions",
    CHAT,
    summary="Hugging Face: continue a chat",
    responses=EVENTS,
    response_model=ChatCompletion,
)
async def chat_below_a_model(
    model_id: Annotated[str, Path()], body: HubChatBody, services: RequestServices, context: Context
) -> Response:
    """As ``/v1/chat/completions``, by the model that the path names."""
    return await chat_completions(body.model_copy(update={"model": model_id}), services, context)
