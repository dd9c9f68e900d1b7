"""The console script `prsm-serve`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from serve_app.launcher.plan import StartPlan

EXIT_REFUSED = 2

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve Hugging Face models as one Ray Serve graph."""


def graph_options(command: Command) -> Command:
    """`--profile` or `--config`."""
    command = click.option(
        "--config", metavar="FILE", help="A Serve config, as `serve deploy` reads it."
    )(command)
    return click.option(
        "--profile", metavar="NAME|FILE", help="A profile's name or file [default: embedded]."
    )(command)


def front_options(command: Command) -> Command:
    """`--host` and `--port` of the HTTP front."""
    command = click.option(
        "--port", type=click.IntRange(1, 65535), help="[default: the config's, else 8000]"
    )(command)
    return click.option("--host", help="Where to listen [default: the config's, else 127.0.0.1].")(
        command
    )


@main.command()
@graph_options
@front_options
@click.option(
    "--dashboard-port",
    type=click.IntRange(1, 65535),
    default=8265,
    show_default=True,
    help="Ray's dashboard on 127.0.0.1: the first free port from this one on.",
)
@click.option(
    "--ray-address",
    envvar="RAY_ADDRESS",
    help="Join this running cluster instead of starting one [env: RAY_ADDRESS].",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=900,
    show_default=True,
    help="Seconds until the graph must be ready.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    help="Seconds that answers under way get to finish when stopping.",
)
def up(
    profile: str | None,
    config: str | None,
    host: str | None,
    port: int | None,
    dashboard_port: int,
    ray_address: str | None,
    timeout: float,
    drain: float,
) -> None:
    """Start the graph here, wait until it answers, and stop it on Ctrl-C."""
    from serve_app.launcher.up import UpOptions
    from serve_app.launcher.up import up as start

    address = None if ray_address in (None, "", "local") else ray_address
    options = UpOptions(dashboard_port, address, timeout, drain)
    plan = _plan(profile, config, host, port)
    _require_keys(plan)
    sys.exit(start(plan, options))


@main.command()
@graph_options
def check(profile: str | None, config: str | None) -> None:
    """Check a profile or a Serve config; nothing is started."""
    from serve_app.launcher.schema import config_problem

    plan = _plan(profile, config)
    if problem := config_problem(plan.config):
        origin = plan.arguments[1]
        _refuse("\n".join(f"{origin}: {line}" for line in problem.splitlines()))
    scope = f"{len(plan.profile.models)} models" if plan.profile else "not this service's graph"
    click.echo(f"{plan.arguments[1]}: valid ({scope})")


@main.command()
@graph_options
@click.option("--pull", is_flag=True, help="Fetch and convert missing weights first.")
@click.option("--quiet", is_flag=True, help="No table.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def models(profile: str | None, config: str | None, pull: bool, quiet: bool, as_json: bool) -> None:
    """List what is served, and whether its weights are here."""
    from configs.weights import WeightsError
    from serve_app.launcher import weights
    from serve_app.launcher.tables import print_models

    plan = _plan(profile, config)
    if plan.profile is None:
        _refuse(f"{config}: not this service's graph, so no models are known")
        return
    try:
        if pull:
            weights.pull(plan.profile)
    except WeightsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if not quiet:
        print_models(weights.served_models(plan.profile), as_json)


@main.command()
@graph_options
@front_options
def config(profile: str | None, config: str | None, host: str | None, port: int | None) -> None:
    """Print the Serve config that a profile makes, as `up` would apply it."""
    import yaml

    click.echo(yaml.safe_dump(_plan(profile, config, host, port).config, sort_keys=False), nl=False)


@main.command()
@click.option("--markdown", is_flag=True, help="The table of docs/tasks.md.")
@click.option(
    "--profile", metavar="NAME|FILE", help="Tasks of its families alone [default: of every family]."
)
def tasks(markdown: bool, profile: str | None) -> None:
    """List the tasks that a profile may give its models, with their other names."""
    from serve_app.launcher.tables import print_tasks
    from serve_app.registry.task_names import all_tasks, code_of, table

    found = all_tasks()
    if profile is not None:
        plan = _plan(profile, None)
        assert plan.profile is not None
        found = all_tasks(*code_of(plan.profile))
    if markdown:
        click.echo(table(found))
    else:
        print_tasks(found)


@main.command()
@click.option(
    "--address",
    envvar="RAY_DASHBOARD_ADDRESS",
    help="Ray's dashboard [default: of the start on this machine, else port 8265].",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Of the graph's HTTP front, where several run on this machine; outranks the address.",
)
@click.option("--api-key", envvar="PRSM_API_KEY", help="Of the graph [env: PRSM_API_KEY].")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
def status(address: str | None, port: int | None, api_key: str | None, as_json: bool) -> None:
    """Show the stage, deployments, replicas and limits; exit code 0 when all is healthy."""
    from serve_app.launcher.status import show_status

    sys.exit(show_status(address, os.environ, port, api_key, as_json))


@main.command()
@click.argument("url")
@click.option(
    "--what",
    type=click.Choice(["chat", "completions", "embeddings", "rerank"]),
    default="chat",
    show_default=True,
)
@click.option("--model", metavar="NAME", help="[default: the server's only one, or its choice]")
@click.option(
    "--clients", metavar="N[,N…]", default="8", show_default=True, help="At the same time; a sweep."
)
@click.option("--requests", type=click.IntRange(1, 1_000_000), help="For each number of clients.")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), help="Begin none after so many.")
@click.option(
    "--texts",
    metavar="short|mixed|FILE",
    default="mixed",
    show_default=True,
    help="8 words, 4 to 160 words, or a file with a text a line.",
)
@click.option(
    "--per-request",
    type=click.IntRange(1, 2048),
    default=1,
    show_default=True,
    help="Texts, or documents to rank, in one request.",
)
@click.option(
    "--new-tokens", type=click.IntRange(1, 100_000), default=48, show_default=True, help="At most."
)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0, show_default=True)
@click.option("--stream/--no-stream", default=True, show_default=True)
@click.option(
    "--warm-up",
    type=click.IntRange(0, 10_000),
    default=8,
    show_default=True,
    help="Requests beforehand that do not count.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the texts.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), default=120, show_default=True, help="A request."
)
@click.option("--api-key", envvar="PRSM_BENCH_API_KEY", help="[env: PRSM_BENCH_API_KEY]")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every figure there.",
)
def bench(
    url: str,
    what: str,
    clients: str,
    requests: int | None,
    seconds: float | None,
    warm_up: int,
    timeout: float,
    api_key: str | None,
    json_file: Path | None,
    **rest: Any,
) -> None:
    """Measure a running server of any make that speaks OpenAI's protocol.

    URL is the server's root, as http://127.0.0.1:8000, or what stands before /chat/completions.
    Without --requests and --seconds, 64 requests for each number of clients. Ctrl-C shows what was
    measured so far. The exit code is 0 only when every request was answered.
    """
    from serve_app.launcher.progress import terminal
    from serve_app.load.command import bench as measure
    from serve_app.load.load import MAX_REQUESTS, MAX_SECONDS, Load

    if requests is None and seconds is None:
        requests = 64
    load = Load(
        what,
        requests=requests or MAX_REQUESTS,
        seconds=seconds or MAX_SECONDS,
        timeout_s=timeout,
        **rest,
    )
    code = measure(
        url,
        [load.with_clients(number) for number in _numbers_of_clients(clients)],
        warm_up=warm_up,
        api_key=api_key,
        json_file=json_file,
        console=terminal(),
    )
    sys.exit(code)


def _numbers_of_clients(text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= number <= 1024 for number in numbers) or len(numbers) > 32:
        raise click.BadParameter("1 to 32 numbers from 1 to 1024", param_hint="--clients")
    return numbers


def _plan(
    profile: str | None, config: str | None, host: str | None = None, port: int | None = None
) -> "StartPlan":
    from configs.errors import ConfigError
    from serve_app.launcher.plan import load_plan

    if profile is not None and config is not None:
        raise click.UsageError("--profile and --config exclude each other")
    try:
        return load_plan(profile, config, host, port)
    except ConfigError as error:
        _refuse(str(error))
        raise


def _require_keys(plan: "StartPlan") -> None:
    """Refuse to start what everybody could use, and keys that cannot be read."""
    from configs.errors import ConfigError
    from configs.exposure import require_keys
    from configs.profile import load_settings

    if plan.profile is None:
        return
    try:
        settings = load_settings(plan.profile)
        require_keys(settings, plan.config["http_options"]["host"])
        if settings.api_keys_file is not None:
            from serve_app.ingress.front.keys import read_keys

            read_keys(settings.api_keys_file)
    except ConfigError as error:
        _refuse(str(error))


def _refuse(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(EXIT_REFUSED)


if __name__ == "__main__":
    main()
