"""The router of a family: a decorated function becomes a native route and a step of graphs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, TypeAlias, TypeVar, get_type_hints

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.ingress.routes.context import NATIVE_PREFIX, RequestContext, Services, TaskResult
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.upload_body import Upload, UploadBody
from serve_app.ingress.validation.fields import Body

B = TypeVar("B", bound=Body)
TaskFunction: TypeAlias = Callable[[B, Services, RequestContext], Awaitable[TaskResult]]


@dataclass(frozen=True, slots=True)
class NativeTask:
    """A task that a step of a graph may name, and a tool of MCP's: its body and its function.

    A model needs one of ``model_tasks``, which are words of the profile. ``answer`` is the type of
    what the function answers, and ``summary`` says in a few words what it does. ``images`` is the
    field of its answer with a list of PNG files in base64, if it has one;
    ``field.key`` is a list of objects that have one each.
    """

    name: str
    body: type[BaseModel]
    function: TaskFunction[Any]
    model_tasks: tuple[str, ...]
    answer: Any = None
    summary: str | None = None
    images: str | None = None


class NativeRouter(InferenceRouter):
    """A family's native routes, each by its function alone.

    The function takes ``body, services, context``, annotated as a route of FastAPI's; its docstring
    documents the route. With an ``upload`` the bodies may also come as a form with that file.
    """

    def __init__(self, tag: str, *, upload: Upload | None = None) -> None:
        super().__init__(prefix=NATIVE_PREFIX, tags=[tag])
        self.tasks: list[NativeTask] = []
        self._upload = upload

    def task(
        self,
        path: str,
        *model_tasks: str,
        step: str | None = None,
        answer: Any = None,
        summary: str | None = None,
        images: str | None = None,
        also_called: Iterable[str] = (),
    ) -> Callable[[TaskFunction[B]], TaskFunction[B]]:
        """Register the decorated function as the route ``POST path``, and as the graph's ``step``.

        ``answer`` is the type of what it answers, for the documentation; ``images`` is as in
        :class:`NativeTask`, ``model_tasks`` and ``also_called`` are as in :meth:`inference`.
        """

        def register(function: TaskFunction[B]) -> TaskFunction[B]:
            if step is not None:
                as_step = self.step(
                    step, *model_tasks, answer=answer, summary=summary, images=images
                )
                as_step(function)
            read = UploadBody(_body_of(function), self._upload) if self._upload else None
            route = self.inference(
                path,
                *model_tasks,
                also_called=also_called,
                summary=summary,
                response_model=answer,
                openapi_extra=read.documented() if read else None,
            )
            route(_endpoint(function, read))
            return function

        return register

    def step(
        self,
        name: str,
        *model_tasks: str,
        answer: Any = None,
        summary: str | None = None,
        images: str | None = None,
    ) -> Callable[[TaskFunction[B]], TaskFunction[B]]:
        """Register the decorated function as a step alone: its route is another function."""

        def register(function: TaskFunction[B]) -> TaskFunction[B]:
            body = _body_of(function)
            task = NativeTask(name, body, function, model_tasks, answer, summary, images)
            self.tasks.append(task)
            return function

        return register


def native_tasks(routers: Iterable[APIRouter]) -> Mapping[str, NativeTask]:
    """The tasks of ``routers`` by name. Raises ``ValueError`` for a name that two of them use."""
    tasks: dict[str, NativeTask] = {}
    for router in routers:
        for task in router.tasks if isinstance(router, NativeRouter) else ():
            if task.name in tasks:
                raise ValueError(f"two routers bring a task {task.name!r}")
            tasks[task.name] = task
    return tasks


def _body_of(function: TaskFunction[Any]) -> type[Body]:
    body: type[Body] = get_type_hints(function)["body"]
    return body


def _endpoint(
    function: TaskFunction[Any], read: UploadBody[Any] | None
) -> Callable[..., Awaitable[Response]]:
    """The route of a task's function, whose body FastAPI reads, or ``read`` does."""

    @wraps(function)
    async def endpoint(body: Any, services: Services, context: RequestContext) -> Response:
        result = await function(body, services, context)
        return await context.respond(result, services.turns)

    if read is not None:
        signature = inspect.signature(function, eval_str=True)
        model = read.model
        annotation = Annotated[model, Depends(read)]  # type: ignore[valid-type]
        given = signature.parameters["body"].replace(annotation=annotation)
        parameters = [given, *list(signature.parameters.values())[1:]]
        endpoint.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return endpoint
