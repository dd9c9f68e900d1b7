"""Checks of a profile against the code that it names: classes, routers and tasks.

They run when a profile is loaded to be served, so that a mistake is one line before anything starts
and not a traceback of a replica. They import what the profile names, but no model and no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from ray import serve

from configs.errors import explain
from configs.import_paths import ImportPathError, imported
from configs.options import DeploymentOptions
from configs.profile import FamilySpec, Profile
from configs.serve_schema import INGRESS, LEDGER
from deployments.metrics.ledger import Ledger
from serve_app.ingress.app import Ingress
from serve_app.ingress.routes.native_router import native_tasks
from serve_app.registry.families import families_in, tasks_of_family, what_is, why_no_family
from serve_app.registry.task_names import wrong_task


def broken_code(profile: Profile) -> list[str]:
    """The mistakes of ``profile`` that only the code shows, each as ``key: what was expected``."""
    problems = [
        *_deployable("ingress", Ingress, INGRESS, profile.ingress),
        *_deployable("ledger", Ledger, LEDGER, profile.ledger),
    ]
    routers: dict[str, APIRouter] = {}
    for family in profile.families:
        key = f"families.{family.name}"
        problems += _routers(key, family, routers)
        problems += _family(key, family, [routers[p] for p in family.routers if p in routers])
    try:
        native_tasks(routers.values())
    except ValueError as error:
        problems.append(f"families: {error}")
    return list(dict.fromkeys(problems))


def deployment(cls: type, name: str, options: DeploymentOptions) -> serve.Deployment:
    """``cls`` as a Serve deployment. Serve raises for options that it does not take."""
    given: Any = options.as_serve()
    made: serve.Deployment = serve.deployment(name=name, **given)(cls)
    return made


def _routers(key: str, family: FamilySpec, found: dict[str, APIRouter]) -> Iterator[str]:
    """Problems of the family's routers. Adds the routers to ``found``."""
    for path in family.routers:
        try:
            router = imported(path)
        except ImportPathError as error:
            yield f"{key}.routers: expected a router at {path}: {error}"
            continue
        if isinstance(router, APIRouter):
            found[path] = router
        else:
            yield f"{key}.routers: expected fastapi's APIRouter at {path}, but {what_is(router)}"


def _family(key: str, family: FamilySpec, routers: list[APIRouter]) -> Iterator[str]:
    path, options = family.deployment, family.options
    try:
        cls = imported(path)
    except ImportPathError as error:
        yield f"{key}.deployment: expected a family's class at {path}: {error}"
        return
    if why := why_no_family(cls):
        yield f"{key}.deployment: expected a family's class at {path}, but {why}{_instead(path)}"
        return
    yield from _needs(key, cls)
    yield from _deployable(f"{key}.options", cls, family.deployment_name, options)
    if options.user_config is not None and not hasattr(cls, "reconfigure"):
        yield f"{key}.options.user_config: expected none, since {path} has no reconfigure"
    yield from _tasks(key, family, cls, routers)


def _needs(key: str, cls: type) -> Iterator[str]:
    """Packages of an optional extra that the family needs, by its ``needs``."""
    for package, extra in getattr(cls, "needs", {}).items():
        if find_spec(package) is None:
            yield f"{key}.deployment: {package} is not installed: pip install '{extra}'"


def _instead(path: str) -> str:
    there = families_in(import_module(path.partition(":")[0]))
    return f"; did you mean {' or '.join(there)}?" if there else ""


def _tasks(key: str, family: FamilySpec, cls: type, routers: list[APIRouter]) -> Iterator[str]:
    served = tasks_of_family(cls, routers)
    if served is None:
        return
    for model in family.models:
        where = f"{key}.models.{model.name}.tasks"
        for task in model.tasks:
            if task not in served:
                yield f"{where}: {wrong_task(task, served, family.deployment)}"
        able = [task for task in dict.fromkeys(model.tasks) if task in served]
        if len(able) > 1 and getattr(cls, "one_task_a_model", False):
            yield f"{where}: expected one of {', '.join(able)}, since a model here does one task"


def _deployable(key: str, cls: type, name: str, options: DeploymentOptions) -> Iterator[str]:
    try:
        deployment(cls, name, options)
    except ValidationError as error:
        # The bounds of scaling are rules of a profile, whose words are ours.
        problems = explain(error, key, DeploymentOptions)
        yield from (each for each in problems if not each.startswith(f"{key}.autoscaling_config"))
    except (ValueError, TypeError, ImportError, AttributeError, NotImplementedError) as error:
        yield f"{key}: Serve does not take them: {' '.join(str(error).split())}"
