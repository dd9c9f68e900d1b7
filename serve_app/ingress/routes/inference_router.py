"""Routers that declare for each route the model tasks that its requests need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from fastapi import APIRouter

from deployments.metrics.signals import UNKNOWN
from serve_app.ingress.metering.purposes import Purpose, Purposes
from serve_app.ingress.routes.hub_tasks import HubTasks
from serve_app.ingress.validation.json_body import JsonRoute

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class InferenceRoute:
    """A route by its path. Its requests need a model of one of ``model_tasks``."""

    path: str
    model_tasks: tuple[str, ...]
    purpose: Purpose


class InferenceRouter(APIRouter):
    """A router whose POST routes call models. The application gathers three things from it:

    the task by which a request is metered until its model is found, the tasks of Hugging Face's
    clients (``POST /models/{model_id}``), and the names under which people look for a model task.
    """

    def __init__(
        self,
        *,
        prefix: str,
        tags: list[str | Enum],
        responses: dict[int | str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(prefix=prefix, tags=tags, route_class=JsonRoute, responses=responses)
        self.inference_routes: list[InferenceRoute] = []
        self.hub_tasks = HubTasks()
        self.other_names: dict[str, str] = {}

    def inference(
        self,
        path: str,
        *model_tasks: str,
        fixed: bool = False,
        also_called: Iterable[str] = (),
        **options: Any,
    ) -> Callable[[Endpoint], Endpoint]:
        """As :meth:`post`, for requests that need a model of one of ``model_tasks``.

        Without any, the request's model says which task it is. A request that fails before its
        model is found counts as one for the first of them; with ``fixed`` every request does.
        ``also_called`` are Hugging Face's other names of that task.
        """
        first = model_tasks[0] if model_tasks else UNKNOWN
        purpose = Purpose(first, fixed, model_tasks)
        self.inference_routes.append(InferenceRoute(self.prefix + path, model_tasks, purpose))
        self.other_names |= dict.fromkeys(also_called, first)
        return self.post(path, **options)


def purposes_of(routers: Iterable[APIRouter]) -> Purposes:
    """The purposes of requests to ``routers``."""
    routes = [route for router in _inference(routers) for route in router.inference_routes]
    return Purposes({route.path: route.purpose for route in routes})


def hub_tasks_of(routers: Iterable[APIRouter]) -> HubTasks:
    """All tasks of Hugging Face's clients that ``routers`` bring, in their order."""
    return HubTasks(task for router in _inference(routers) for task in router.hub_tasks)


def _inference(routers: Iterable[APIRouter]) -> list[InferenceRouter]:
    return [router for router in routers if isinstance(router, InferenceRouter)]
