"""Which classes can be deployed as families, their tasks, and the families of this service."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from fastapi import APIRouter
from ray import serve

import deployments
from deployments.models.call_receiver import CallReceiver
from deployments.models.config import FamilyConfig
from serve_app.ingress.routes.native_router import NativeRouter


def why_no_family(found: Any) -> str | None:
    """Why ``found`` cannot be a family's deployment; ``None`` if it can.

    A family is a :class:`CallReceiver` that is made of a :class:`FamilyConfig`.
    """
    if isinstance(found, serve.Deployment):
        return "the graph makes a deployment of the class itself, without @serve.deployment"
    if not isinstance(found, type):
        return what_is(found)
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        return f"it is abstract and leaves out {missing}"
    given = _first_parameter(found)
    if given is None:
        return "it is not made of a FamilyConfig"
    if not issubclass(found, CallReceiver):
        return "it is no CallReceiver, as FamilyDeployment is one"
    return None


def what_is(found: Any) -> str:
    """Half a sentence that says what kind of object ``found`` is."""
    if isinstance(found, type):
        return f"it is the class {found.__name__}"
    return f"it is a {type(found).__name__}"


def _first_parameter(cls: type) -> str | None:
    """The name of the one required parameter of a constructor, if it may be a FamilyConfig."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        _, *parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    except ValueError:
        return None
    needed = [each for each in parameters if each.default is inspect.Parameter.empty]
    needed = [each for each in needed if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if len(needed) != 1 or needed[0].kind not in kinds:
        return None
    annotation = needed[0].annotation
    if annotation is inspect.Parameter.empty:
        return needed[0].name
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return needed[0].name if FamilyConfig.__name__ in text else None


def tasks_of_family(cls: type, routers: Iterable[APIRouter]) -> Mapping[str, str] | None:
    """The tasks of a family's models with their descriptions; ``None`` if they are not known.

    A class without ``tasks`` has those that its routers call.
    """
    own = getattr(cls, "tasks", None)
    if own is not None:
        return dict(own) if isinstance(own, Mapping) else dict.fromkeys(own, "")
    native = (router for router in routers if isinstance(router, NativeRouter))
    return {name: "" for each in native for task in each.tasks for name in task.model_tasks} or None


def families_in(module: ModuleType) -> list[str]:
    """Import paths of the families that a module defines."""
    return [
        f"{module.__name__}:{name}"
        for name, found in vars(module).items()
        if getattr(found, "__module__", None) == module.__name__
        and isinstance(found, type)
        and "tasks" in vars(found)
        and why_no_family(found) is None
    ]


def shipped_families() -> dict[str, type]:
    """The families of this service by import path. Imports every module of the model side."""
    found = [
        path
        for each in pkgutil.iter_modules(deployments.__path__, "deployments.")
        if not each.ispkg
        for path in families_in(import_module(each.name))
    ]
    return {path: _at(path) for path in found}


def _at(path: str) -> type:
    module, _, name = path.partition(":")
    cls: type = getattr(import_module(module), name)
    return cls
