"""Tasks: what the models behind native routes do, by name, so that a graph's steps can name it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel

from serve_app.ingress.routes.context import NATIVE_PREFIX, RequestContext, Services, TaskResult
from serve_app.ingress.validation.json_body import JsonRoute

B = TypeVar("B", bound=BaseModel)
Work: TypeAlias = Callable[[B, Services, RequestContext], Awaitable[TaskResult]]


@dataclass(frozen=True, slots=True)
class Task:
    """A body, and the function that answers it.

    ``does`` is what a model must do, in the catalog's words: one of these.
    """

    name: str
    body: type[BaseModel]
    work: Work[Any]
    does: tuple[str, ...]


class NativeRouter(APIRouter):
    """A family's native routes, and the tasks that they answer."""

    def __init__(self, tag: str, prefix: str = "") -> None:
        super().__init__(prefix=NATIVE_PREFIX + prefix, tags=[tag], route_class=JsonRoute)
        self.tasks: list[Task] = []

    def task(self, name: str, body: type[B], *does: str) -> Callable[[Work[B]], Work[B]]:
        """Register the decorated function as the task ``name``; ``does`` as in :class:`Task`."""

        def register(work: Work[B]) -> Work[B]:
            self.tasks.append(Task(name, body, work, does))
            return work

        return register


def tasks_of(routers: Iterable[APIRouter]) -> Mapping[str, Task]:
    """The tasks of ``routers`` by name. Raises ``ValueError`` for a name that two of them use."""
    tasks: dict[str, Task] = {}
    for router in routers:
        for task in router.tasks if isinstance(router, NativeRouter) else ():
            if task.name in tasks:
                raise ValueError(f"two routers bring a task {task.name!r}")
            tasks[task.name] = task
    return tasks
