"""What the listing commands print."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from serve_app.launcher.models import ServedModel
from serve_app.launcher.progress import say, state_table, terminal
from serve_app.launcher.state import ServeState

if TYPE_CHECKING:
    from serve_app.task_names import TaskNames


def print_status(state: ServeState, url: str, as_json: bool) -> None:
    """Deployments, replicas and health of the cluster whose dashboard is at `url`."""
    if as_json:
        summary = {"url": state.url, "dashboard": url, "healthy": state.is_healthy}
        say(json.dumps(summary | asdict(state), indent=2))
    elif not state.applications:
        say(f"nothing runs: no Serve application on {url}")
    else:
        say(f"HTTP on {state.url or 'an unknown address'}, dashboard on {url}")
        terminal().print(state_table(state))


def print_tasks(tasks: "Sequence[TaskNames]") -> None:
    """What models do: in a profile, by route, in a graph, with Hugging Face, by which class."""
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
