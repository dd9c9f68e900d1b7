"""Hugging Face's tasks, and which of them a request to ``POST /models/{model_id}`` means.

The path names a model, not a task. Where the model does several tasks, the body tells which one by
a field that only that task has. A body without such a field means the first task that has none,
as the hosted API takes a model's main task. ``/pipeline/{task}`` behind the model's name names the
task itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, get_type_hints

from starlette.responses import Response

from serve_app.ingress.errors import NotFound, UnsupportedMediaType
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.validation.fields import Body

B = TypeVar("B", bound=Body)
Payload: TypeAlias = Mapping[str, Any] | bytes
HubFunction: TypeAlias = Callable[[B, ModelCard, Services, RequestContext], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HubTask:
    """One of Hugging Face's tasks: its name there, the model task that does it, and its body.

    ``distinguishing`` are fields that only this task has among those of one model, wherever in the
    body. ``from_file`` makes a body of a file that was sent bare, for tasks that take one.
    ``also_called`` are other names of Hugging Face's that its clients do not send here.
    """

    name: str
    model_task: str
    body: type[Body]
    answer: HubFunction[Any]
    distinguishing: frozenset[str] = frozenset()
    from_file: Callable[[bytes], Body] | None = None
    also_called: tuple[str, ...] = ()


class HubTasks:
    """The tasks of one file, of a family's router, or of a whole application."""

    def __init__(self, tasks: Iterable[HubTask] = ()) -> None:
        self._tasks: list[HubTask] = []
        self.add(tasks)

    def __iter__(self) -> Iterator[HubTask]:
        return iter(self._tasks)

    def add(self, tasks: Iterable[HubTask]) -> None:
        """Add tasks behind those that are here; one that is here already stays where it is."""
        self._tasks += [task for task in dict.fromkeys(tasks) if task not in self._tasks]

    def task(
        self,
        name: str,
        model_task: str,
        *,
        distinguishing: Iterable[str] = (),
        from_file: Callable[[bytes], Body] | None = None,
        also_called: tuple[str, ...] = (),
    ) -> Callable[[HubFunction[B]], HubFunction[B]]:
        """Register the decorated function as a :class:`HubTask`; it says the body's type."""

        def register(answer: HubFunction[B]) -> HubFunction[B]:
            body = get_type_hints(answer)["body"]
            fields = frozenset(distinguishing)
            self.add([HubTask(name, model_task, body, answer, fields, from_file, also_called)])
            return answer

        return register

    def names(self, card: ModelCard) -> list[str]:
        """Hugging Face's names of what the model does, the one that is meant by default first."""
        return list(dict.fromkeys(task.name for task in self._of(card)))

    def task_for(self, card: ModelCard, payload: Payload, name: str | None = None) -> HubTask:
        """The task that ``payload`` requests of the model. ``name`` is the task in the path.

        Raises 404 for a task that the model does not do, 415 for a file where no task takes one.
        """
        able = [task for task in self._of(card) if name in (None, task.name)]
        if not able:
            raise NotFound(
                f"{card.name} does not do {name[:100] if name else 'any of these tasks'}.",
                field="model",
                details={"tasks": self.names(card)},
            )
        if isinstance(payload, bytes):
            taking = [task for task in able if task.from_file is not None]
            if not taking:
                raise UnsupportedMediaType(f"{card.name} takes application/json.")
            return taking[0]
        fields = _fields(payload)
        return next((task for task in able if task.distinguishing & fields), able[0])

    def _of(self, card: ModelCard) -> list[HubTask]:
        """The model's tasks; those with distinguishing fields come last."""
        able = [task for task in self._tasks if task.model_task in card.tasks]
        return sorted(able, key=lambda task: bool(task.distinguishing))


def _fields(payload: Mapping[str, Any]) -> frozenset[str]:
    """Every name at the root, in ``parameters`` and in ``inputs``."""
    parts = (payload, payload.get("parameters"), payload.get("inputs"))
    return frozenset(name for part in parts if isinstance(part, dict) for name in part)
