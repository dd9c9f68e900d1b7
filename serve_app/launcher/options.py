"""Options that several commands of `prsm-serve` take, and the plan that they make."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from serve_app.launcher.plan import StartPlan

EXIT_REFUSED = 2

Command = Callable[..., Any]


def with_options(*options: Command) -> Command:
    """One decorator of several options, in the order in which `--help` lists them."""

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


port_number = click.IntRange(1, 65535)
graph_options = with_options(
    click.option(
        "--profile", metavar="NAME|FILE", help="A profile's name or file [default: embedded]."
    ),
    click.option("--config", metavar="FILE", help="A Serve config, as `serve deploy` reads it."),
)
front_options = with_options(
    click.option("--host", help="Where to listen [default: the config's, else 127.0.0.1]."),
    click.option("--port", type=port_number, help="[default: the config's, else 8000]"),
)


def plan_of(
    profile: str | None, config: str | None, host: str | None = None, port: int | None = None
) -> "StartPlan":
    """The plan that the options name; ends the command where they are wrong."""
    from configs.errors import ConfigError
    from serve_app.launcher.plan import load_plan

    if profile is not None and config is not None:
        raise click.UsageError("--profile and --config exclude each other")
    try:
        return load_plan(profile, config, host, port)
    except ConfigError as error:
        refuse(str(error))


def refuse(message: str) -> NoReturn:
    """End the command: what it was asked for is wrong."""
    click.echo(f"error: {message}", err=True)
    sys.exit(EXIT_REFUSED)
