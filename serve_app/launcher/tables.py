"""The tables that `status`, `tasks` and `models` print."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from serve_app.launcher.limits import FamilyLimit, ReplicaLimits
from serve_app.launcher.progress import say, state_table, terminal
from serve_app.launcher.state import ServeState
from serve_app.launcher.weights import ServedModel

if TYPE_CHECKING:
    from serve_app.registry.task_names import TaskNames


def print_status(state: ServeState, url: str, stage: str) -> None:
    """Stage, deployments, replicas and health of the cluster whose dashboard is at `url`."""
    if not state.applications:
        say(f"{stage}: no Serve application on {url}")
        return
    say(f"HTTP on {state.url or 'an unknown address'}, dashboard on {url}")
    say(stage)
    terminal().print(state_table(state))


def print_limits(limits: Sequence[ReplicaLimits], unknown: str | None) -> None:
    """The live limits of each replica, or why they are not known."""
    if unknown is not None:
        say(f"live limits: not known, {unknown}")
    if not limits:
        return
    table = Table("family", "replica", "live limits in force", "refused of the last user_config")
    for each in limits:
        values = ", ".join(f"{name} {value:g}" for name, value in each.in_force.items())
        refused = escape("; ".join(each.refused))
        table.add_row(each.family, each.replica, values or "none", refused or "–")
    terminal().print(table)


def print_binding_limits(families: Sequence[FamilyLimit]) -> None:
    """Why each family is not faster, what to turn, and how many replicas it needs and why."""
    if not families:
        return
    table = Table()
    for title in ("family", "bound by", "why", "what to turn", "replicas needed"):
        table.add_column(title, overflow="fold")
    for each in families:
        table.add_row(
            each.family, each.limit or "nothing", each.why, each.setting or "–", each.scaling or "–"
        )
    terminal().print(table)


def print_tasks(tasks: "Sequence[TaskNames]") -> None:
    """Each task and its names: of routes, graph steps, Hugging Face tasks and classes."""
    table = Table()
    for title in ("task", "what a model does", "routes", "graph step", "Hugging Face", "class"):
        table.add_column(title, overflow="fold")
    for each in tasks:
        lists = (each.routes, each.steps, each.hugging_face, each.families)
        table.add_row(each.name, each.about, *("\n".join(names) for names in lists))
    terminal().print(table)


def print_models(models: Sequence[ServedModel], as_json: bool) -> None:
    """A profile's models."""
    if as_json:
        say(json.dumps([asdict(model) for model in models], indent=2))
        return
    table = Table()
    for title in ("model", "family", "tasks", "engine", "source", "in cache"):
        table.add_column(title, overflow="fold")
    for model in models:
        cached = "yes" if model.is_cached else "no"
        tasks = ", ".join(model.tasks)
        table.add_row(model.name, model.family, tasks, model.engine, model.source, cached)
    terminal().print(table)
