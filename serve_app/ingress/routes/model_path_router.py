"""Routes that exist twice: at the root for the default model, and below a model's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel

from serve_app.ingress.routes.inference_router import Endpoint, InferenceRouter

B = TypeVar("B", bound=BaseModel)

BELOW = "/models/{model_id:path}"
PARAMETER = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "title": "Model Id"},
}


async def model_in_path(request: Request) -> str | None:
    """The model that the path names; ``None`` at the root, where the default model answers."""
    name: str | None = request.path_params.get("model_id")
    return name


PathModel = Annotated[str | None, Depends(model_in_path)]


def with_path_model(body: B, model: str | None) -> B:
    """The body, which asks for the path's model where the path names one."""
    return body if model is None else body.model_copy(update={"model": model})


class ModelPathRouter(InferenceRouter):
    """A router of servers that have one model each: their paths, and the same below every model.

    The decorated functions take the model as a :data:`PathModel`.
    """

    def inference_twice(
        self, path: str, *model_tasks: str, name: str, summary: str, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        """As :meth:`inference`, at ``path`` and at ``/models/{model_id}{path}``.

        ``name`` is that of the operation in the OpenAPI document.
        """

        def register(endpoint: Endpoint) -> Endpoint:
            below: dict[str, Any] = {"openapi_extra": {"parameters": [PARAMETER]}}
            for place, suffix, more in (("", "", {}), (BELOW, "_below_a_model", below)):
                full = {**options, **more, "name": name + suffix, "summary": summary}
                self.inference(place + path, *model_tasks, **full)(endpoint)
            return endpoint

        return register
