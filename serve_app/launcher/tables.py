"""What the listing commands print."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from serve_app.launcher.models import ServedModel
from serve_app.launcher.progress import say, state_table, terminal
from serve_app.launcher.state import ServeState


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
