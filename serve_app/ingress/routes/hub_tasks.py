"""Kinds of task, and which of them a request to a model asks for.

The path names a model, not a task. A model of one task is plain; of a model of several, the body
tells by fields that only one of its tasks has. Where no such field is there, the first kind in the
table is meant, as the hosted API takes a model's main task; and ``/pipeline/{task}`` behind the
model's name says it outright.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.responses import Response

from serve_app.ingress.catalog import ModelCard
from serve_app.ingress.errors import NotFound, UnsupportedMediaType
from serve_app.ingress.routes.context import RequestContext, Services
from serve_app.ingress.routes.huggingface.payload import Payload
from serve_app.ingress.validation.fields import Body

AnswerTo: TypeAlias = Callable[[Any, ModelCard, Services, RequestContext], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class HubTask:
    """One of Hugging Face's tasks: its name there, the task here that does it, and its body.

    ``marks`` are fields that only this kind has among those of one model, wherever in the body.
    ``from_file`` makes a body of a file that was sent bare, for kinds that take one.
    """

    name: str
    task: str
    body: type[Body]
    answer: AnswerTo
    marks: frozenset[str] = frozenset()
    from_file: Callable[[bytes], Body] | None = None


def meant(
    kinds: Sequence[HubTask], card: ModelCard, payload: Payload, name: str | None = None
) -> HubTask:
    """The kind that ``payload`` asks of the model. ``name`` is the path's word for it, if any.

    Raises 404 for a task that the model does not do, 415 for a file where no kind takes one.
    """
    able = [kind for kind in kinds if kind.task in card.tasks]
    if name is not None:
        able = [kind for kind in able if kind.name == name]
    if not able:
        raise NotFound(
            f"{card.name} does not do {name[:100] if name else 'any of these tasks'}.",
            field="model",
            details={"tasks": names_of(kinds, card)},
        )
    if isinstance(payload, bytes):
        taking = [kind for kind in able if kind.from_file is not None]
        if not taking:
            raise UnsupportedMediaType(f"{card.name} takes application/json.")
        return taking[0]
    fields = _fields(payload)
    return next((kind for kind in able if kind.marks & fields), able[0])


def names_of(kinds: Iterable[HubTask], card: ModelCard) -> list[str]:
    """Hugging Face's names of what the model does, the one that is meant by default first."""
    return list(dict.fromkeys(kind.name for kind in kinds if kind.task in card.tasks))


def _fields(payload: Mapping[str, Any]) -> frozenset[str]:
    """Every name at the root, in ``parameters`` and in ``inputs``."""
    parts = (payload, payload.get("parameters"), payload.get("inputs"))
    return frozenset(name for part in parts if isinstance(part, dict) for name in part)
