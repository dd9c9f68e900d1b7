"""The tasks of models under all of their names: in profiles, in graphs, and at Hugging Face."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import serve_app.ingress.routes
from configs.import_paths import imported
from configs.profile import Profile
from configs.suggestions import closest
from serve_app.ingress.routes.context import NATIVE_PREFIX
from serve_app.ingress.routes.inference_router import InferenceRouter, hub_tasks_of
from serve_app.ingress.routes.native_router import NativeRouter, native_tasks
from serve_app.ingress.routes.other_servers import ROUTERS as OF_OTHER_SERVERS
from serve_app.registry.families import shipped_families, tasks_of_family


@dataclass(frozen=True, slots=True)
class TaskNames:
    """One task of a profile. ``families`` are import paths, ``routes`` below the root.

    ``hugging_face`` are the names that its clients send, ``also_called`` others of Hugging Face's.
    """

    name: str
    about: str
    routes: tuple[str, ...]
    steps: tuple[str, ...]
    hugging_face: tuple[str, ...]
    also_called: tuple[str, ...]
    families: tuple[str, ...]


def all_tasks(
    families: Mapping[str, type] | None = None, routers: Sequence[InferenceRouter] | None = None
) -> list[TaskNames]:
    """Every task that the families do, in the order of the families.

    ``families`` are classes by import path; without them and ``routers`` those of this service.
    """
    families = shipped_families() if families is None else families
    routers = shipped_routers() if routers is None else routers
    tasks = {path: tasks_of_family(cls, routers) or {} for path, cls in families.items()}
    about: dict[str, str] = {}
    for of_family in tasks.values():
        about = {**of_family, **about}
    names = dict.fromkeys(name for of_family in tasks.values() for name in of_family)
    return [_named(name, about[name], tasks, routers) for name in names]


def code_of(profile: Profile) -> tuple[Mapping[str, type], Sequence[InferenceRouter]]:
    """The families and the routers that a profile names, as :func:`all_tasks` takes them."""
    families = {family.deployment: imported(family.deployment) for family in profile.families}
    routers = dict.fromkeys(path for family in profile.families for path in family.routers)
    return families, _inference(imported(path) for path in routers)


def shipped_routers() -> list[InferenceRouter]:
    """The routers of this service that a profile may name, those of the native API first."""
    package = serve_app.ingress.routes
    modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [module.name for module in modules if ".huggingface" not in module.name]
    found = (getattr(import_module(name), "router", None) for name in names)
    routers = _inference(each for each in found if each not in OF_OTHER_SERVERS)
    return sorted(routers, key=lambda router: not isinstance(router, NativeRouter))


def _inference(found: Iterable[Any]) -> list[InferenceRouter]:
    return [router for router in found if isinstance(router, InferenceRouter)]


def wrong_task(task: str, served: Iterable[str], family: str) -> str:
    """The message about a ``task`` that the class ``family`` does not do; it does ``served``."""
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
    """The tasks that have this name anywhere."""
    form = task.lower().replace("_", "-")
    return [
        each.name
        for each in known
        if task == each.name
        or task in each.steps
        or form in (*each.hugging_face, *each.also_called)
    ]


def _whose(task: str, known: Iterable[TaskNames]) -> str:
    return "a graph step's" if any(task in each.steps for each in known) else "Hugging Face's"


def _named(
    name: str,
    about: str,
    tasks: Mapping[str, Iterable[str]],
    routers: Sequence[InferenceRouter],
) -> TaskNames:
    """One task under all its names; ``tasks`` are those of each family."""
    routes = [route for router in routers for route in router.inference_routes]
    hub = [task for task in hub_tasks_of(routers) if task.model_task == name]
    other = (other for router in routers for other, of in router.other_names.items() if of == name)
    return TaskNames(
        name,
        about,
        routes=_unique(
            route.path for route in routes if name in route.model_tasks and "{" not in route.path
        ),
        steps=_unique(
            step.name for step in native_tasks(routers).values() if name in step.model_tasks
        ),
        hugging_face=_unique(task.name for task in hub),
        also_called=_unique([*other, *(other for task in hub for other in task.also_called)]),
        families=_unique(path for path, of_family in tasks.items() if name in of_family),
    )


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
