"""Fields that the bodies of vLLM's routes share, and their list answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from serve_app.ingress.routes.context import RequestContext
from serve_app.ingress.routes.openai.sampling import now
from serve_app.ingress.validation.effects import NoEffect
from serve_app.ingress.validation.fields import Body, ModelName

Cut = Annotated[Literal[-1], Field(description="-1 cuts long texts; else they are refused")]


class VllmBody(Body):
    """``truncate_prompt_tokens`` -1 cuts texts to what the model takes."""

    model: ModelName | None = None
    truncate_prompt_tokens: Cut | None = None
    user: NoEffect[str | None] = None

    @property
    def truncates(self) -> bool:
        return self.truncate_prompt_tokens is not None


def listed(
    kind: str, data: list[dict[str, Any]], model: str, tokens: int, context: RequestContext
) -> dict[str, Any]:
    """The answer with ``data``; ``kind`` begins its id."""
    return {
        "id": f"{kind}-{context.request_id}",
        "object": "list",
        "created": now(),
        "model": model,
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
