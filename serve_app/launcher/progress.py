"""Shows how deployments come up: a live table on a terminal, otherwise a line for each change."""

import contextlib
import sys
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from serve_app.launcher.state import DeploymentState, ServeState

COLOURS = {"HEALTHY": "green", "RUNNING": "green", "UNHEALTHY": "red", "DEPLOY_FAILED": "red"}
MESSAGE_LENGTH = 200
PIPE_WIDTH = 240


class StartProgress(Protocol):
    """Shows states as they come."""

    def show(self, state: ServeState) -> None:
        """Show what is new in `state`."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def say(text: str) -> None:
    """Print a line, and never fail: the terminal may be gone while things are shut down."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def progress_for(console: Console) -> StartProgress:
    """The live table for a terminal, lines for everything else."""
    return LiveProgress(console) if console.is_terminal else PlainProgress()


class PlainProgress:
    """Prints a line for each deployment whose status, replicas or message changed.

    A deployment that merely starts, as all of them do at first, gets no line.
    """

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], str] = {}

    def show(self, state: ServeState) -> None:
        """Print the lines that differ from the last ones."""
        for application in state.applications:
            for deployment in application.deployments:
                key = (application.name, deployment.name)
                line = _line(deployment)
                if self._shown.get(key) != line and not deployment.is_starting:
                    self._shown[key] = line
                    say(line)

    def close(self) -> None:
        """Nothing to undo."""


class LiveProgress:
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, state: ServeState) -> None:
        """Draw the table."""
        self._live.update(state_table(state), refresh=True)

    def close(self) -> None:
        """Stop drawing; the last table stays."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()


def state_table(state: ServeState) -> Table:
    """Deployments, replicas and health."""
    table = Table("application", "deployment", "status", "replicas", "message")
    for application in state.applications:
        if not application.deployments:
            table.add_row(application.name, "", _coloured(application.status), "",
                          escape(_short(application.message)))  # fmt: skip
        for each in application.deployments:
            message = "" if each.is_healthy else escape(_short(each.message))
            replicas = f"{each.running}/{each.wanted}"
            table.add_row(application.name, each.name, _coloured(each.status), replicas, message)
    return table


def terminal() -> Console:
    """A console on standard output."""
    # A file or a pipe has no width; lines there are long, so that grep finds whole messages.
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _line(deployment: DeploymentState) -> str:
    replicas = f"{deployment.running}/{deployment.wanted}"
    head = f"{deployment.application}/{deployment.name}: {deployment.status} {replicas}"
    message = "" if deployment.is_healthy else _short(deployment.message)
    return f"{head} - {message}" if message else head


def _short(message: str) -> str:
    first = message.strip().partition("\n")[0]
    return first if len(first) <= MESSAGE_LENGTH else first[: MESSAGE_LENGTH - 1] + "…"


def _coloured(status: str) -> str:
    colour = COLOURS.get(status, "yellow")
    return f"[{colour}]{status}[/{colour}]"
