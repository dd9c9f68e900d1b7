"""The tasks of models, under each name that they have: here, in graphs, and with Hugging Face."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import get_type_hints

from fastapi.routing import APIRoute

import serve_app.ingress.routes
from configs.suggestions import closest
from serve_app.ingress.metering.purposes import PURPOSES
from serve_app.ingress.routes.context import NATIVE_PREFIX
from serve_app.ingress.routes.huggingface.task_table import KINDS
from serve_app.ingress.routes.native_router import NativeRouter, Task
from serve_app.registry.families import shipped_families

OTHER_NAMES = {
    "sentiment-analysis": "sentiment",
    "ner": "entities",
    "text-ranking": "rerank",
    "conversational": "chat",
    "chat-completion": "chat",
    "image-text-to-text": "caption",
}
"""Hugging Face's names of tasks that its clients do not send here."""


@dataclass(frozen=True, slots=True)
class TaskNames:
    """One task of a profile. ``families`` are import paths, ``routes`` below the root."""

    name: str
    about: str
    routes: tuple[str, ...]
    steps: tuple[str, ...]
    hugging_face: tuple[str, ...]
    families: tuple[str, ...]


def all_tasks() -> list[TaskNames]:
    """Every task that a family of this service does, family by family."""
    families = shipped_families()
    about: dict[str, str] = {}
    for cls in families.values():
        for name, said in cls.tasks.items():  # type: ignore[attr-defined]
            about.setdefault(name, said)
    steps = list(_steps())
    return [
        TaskNames(
            name,
            said,
            _unique([*_native(name, steps), *_elsewhere(name)]),
            _unique(step.name for _, step in steps if name in step.does),
            _unique(kind.name for kind in KINDS if kind.task == name),
            _unique(path for path, cls in families.items() if name in cls.tasks),  # type: ignore[attr-defined]
        )
        for name, said in about.items()
    ]


def wrong_task(task: str, served: Iterable[str], family: str) -> str:
    """What to say of a ``task`` that the class ``family`` does not do; it does those ``served``."""
    able = tuple(served)
    known = all_tasks()
    does = f"{family} does {', '.join(able)}"
    right = _meant(task, known)
    here = [name for name in right if name in able]
    if here:
        return f"{task} is {_whose(task, known)} word; in a profile it is {' or '.join(here)}"
    for name in right:
        others = next(each.families for each in known if each.name == name)
        word = "" if name == task else f"{task} is {_whose(task, known)} word for {name}; "
        return f"{word}{does}; {name} is done by {' or '.join(others)}"
    close = closest(task, able) or closest(task, [each.name for each in known])
    return f"unknown task {task}; " + (f"did you mean {close}?" if close else does)


def _meant(task: str, known: Iterable[TaskNames]) -> list[str]:
    """The tasks that go by this name anywhere."""
    form = task.lower().replace("_", "-")
    names = [
        each.name
        for each in known
        if task == each.name or task in each.steps or form in each.hugging_face
    ]
    return names or ([OTHER_NAMES[form]] if form in OTHER_NAMES else [])


def _whose(task: str, known: Iterable[TaskNames]) -> str:
    return "a graph step's" if any(task in each.steps for each in known) else "Hugging Face's"


def _steps() -> Iterator[tuple[NativeRouter, Task]]:
    for module in pkgutil.iter_modules(
        serve_app.ingress.routes.__path__, "serve_app.ingress.routes."
    ):
        router = getattr(import_module(module.name), "router", None)
        if isinstance(router, NativeRouter):
            yield from ((router, task) for task in router.tasks)


def _native(name: str, steps: Iterable[tuple[NativeRouter, Task]]) -> Iterator[str]:
    """Paths of routes that take the body of a step that calls this task."""
    for router, step in steps:
        for route in router.routes:
            taken = get_type_hints(route.endpoint) if isinstance(route, APIRoute) else {}
            if name in step.does and step.body in taken.values() and isinstance(route, APIRoute):
                yield route.path


def _elsewhere(name: str) -> Iterator[str]:
    """Paths of routes that no step calls, by what their requests are for."""
    return (path for path, purpose in PURPOSES.items() if purpose.task == name)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def table(tasks: Iterable[TaskNames]) -> str:
    """The tasks as a table in Markdown; native routes without their prefix."""
    head = "| task | what a model does | routes | graph step | Hugging Face | family class |"
    rows = [
        " | ".join(
            (
                f"| `{each.name}`",
                each.about,
                _cell(path.removeprefix(NATIVE_PREFIX) for path in each.routes),
                _cell(each.steps),
                _cell(each.hugging_face),
                f"{_cell(each.families)} |",
            )
        )
        for each in tasks
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _cell(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "–"
