"""The console script `prsm-serve`: its commands and their options.

What a command needs is imported when it runs, so that `--help` and refusals come at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serve_app.launcher.cluster_commands import config, node
from serve_app.launcher.key_commands import keys
from serve_app.launcher.options import front_options, graph_options, plan_of, port_number, refuse
from serve_app.load.options import bench

if TYPE_CHECKING:
    from serve_app.launcher.plan import StartPlan


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Serve Hugging Face models as one Ray Serve graph."""


json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@main.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@graph_options
@front_options
@click.option(
    "--dashboard-port",
    type=port_number,
    default=8265,
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
    help="Seconds until the graph must be ready.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=10,
    help="Seconds that answers under way get to finish when stopping.",
)
@click.option("--observe", is_flag=True, help="Run Prometheus beside it, where it is installed.")
def up(
    models: tuple[str, ...],
    profile: str | None,
    config: str | None,
    host: str | None,
    port: int | None,
    dashboard_port: int,
    ray_address: str | None,
    timeout: float,
    drain: float,
    observe: bool,
) -> None:
    """Start the graph here, wait until it answers, and stop it on Ctrl-C.

    Serves each MODEL (a name of the hub, a folder, a GGUF file) if any is given, else the profile.
    """
    from serve_app.launcher.up import UpOptions
    from serve_app.launcher.up import up as start

    address = None if ray_address in (None, "", "local") else ray_address
    if observe and address is not None:
        raise click.UsageError("--observe excludes --ray-address: Ray has to start with Prometheus")
    options = UpOptions(dashboard_port, address, timeout, drain, observe)
    if models:
        if profile is not None or config is not None:
            raise click.UsageError("MODEL excludes --profile and --config")
        profile = _profile_of(models)
    plan = plan_of(profile, config, host, port)
    _check_keys(plan, required=True)
    sys.exit(start(plan, options))


@main.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--output", metavar="FILE", help="Where to write it [default: standard output].")
def init(models: tuple[str, ...], output: str | None) -> None:
    """Write a profile that serves each MODEL: a name of the hub, a folder, a GGUF file."""
    from configs.errors import ConfigError
    from configs.settings import resolve
    from serve_app.launcher.named_models import profile_of

    try:
        text = profile_of(models, resolve({}, "settings"))
        if output is None:
            click.echo(text, nl=False)
            return
        with Path(output).open("x", encoding="utf-8") as file:
            file.write(text)
    except ConfigError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{output}: cannot be written ({error.strerror})")


@main.command()
@graph_options
def check(profile: str | None, config: str | None) -> None:
    """Check a profile or a Serve config; nothing is started."""
    from serve_app.launcher.schema import config_problem

    plan = plan_of(profile, config)
    if problem := config_problem(plan.config):
        origin = plan.arguments[1]
        refuse("\n".join(f"{origin}: {line}" for line in problem.splitlines()))
    _check_keys(plan, required=False)
    for note in _notes(plan):
        click.echo(f"note: {note}", err=True)
    scope = f"{len(plan.profile.models)} models" if plan.profile else "not this service's graph"
    click.echo(f"{plan.arguments[1]}: valid ({scope})")


@main.command()
@graph_options
@click.option("--pull", is_flag=True, help="Fetch and convert missing weights first.")
@click.option("--quiet", is_flag=True, help="No table.")
@json_option
def models(profile: str | None, config: str | None, pull: bool, quiet: bool, as_json: bool) -> None:
    """List what is served, and whether its weights are here."""
    from configs.weights import WeightsError
    from serve_app.launcher import weights
    from serve_app.launcher.tables import print_models

    plan = plan_of(profile, config)
    if plan.profile is None:
        refuse(f"{config}: not this service's graph, so no models are known")
    try:
        if pull:
            weights.pull(plan.profile)
    except WeightsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    if not quiet:
        print_models(weights.served_models(plan.profile), as_json)


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
        plan = plan_of(profile, None)
        assert plan.profile is not None
        found = all_tasks(*code_of(plan.profile))
    if markdown:
        click.echo(table(found))
    else:
        print_tasks(found)


@main.command()
def compatibility() -> None:
    """Print what each field of other servers' APIs does: the table of docs/compatibility.md."""
    from serve_app.registry.compatibility import table

    click.echo(table())


@main.command()
@click.option(
    "--address",
    envvar="RAY_DASHBOARD_ADDRESS",
    help="Ray's dashboard [default: of the start on this machine, else port 8265].",
)
@click.option(
    "--port",
    type=port_number,
    help="Port of the HTTP front, to select one of several running; overrides --address.",
)
@click.option("--api-key", envvar="PRSM_API_KEY", help="Of the graph [env: PRSM_API_KEY].")
@json_option
def status(address: str | None, port: int | None, api_key: str | None, as_json: bool) -> None:
    """Show the stage, deployments, replicas and limits; exit code 0 when all is healthy."""
    from serve_app.launcher.status import show_status

    sys.exit(show_status(address, os.environ, port, api_key, as_json))


def _profile_of(models: tuple[str, ...]) -> str:
    """The path of a profile that serves ``models``."""
    from configs.errors import ConfigError
    from configs.settings import resolve
    from serve_app.launcher.named_models import written_profile

    try:
        return str(written_profile(models, resolve({}, "settings")))
    except ConfigError as error:
        refuse(str(error))


def _check_keys(plan: "StartPlan", *, required: bool) -> None:
    """Refuse a file of API keys that cannot be read.

    With ``required`` refuse also to listen beyond this machine without keys.
    """
    from configs.errors import ConfigError
    from configs.exposure import require_keys
    from configs.profile import load_settings

    if plan.profile is None:
        return
    try:
        settings = load_settings(plan.profile)
        if required:
            require_keys(settings, plan.host)
        if settings.api_keys_file is not None:
            from serve_app.ingress.front.keys import read_keys

            read_keys(settings.api_keys_file)
    except ConfigError as error:
        refuse(str(error))


def _notes(plan: "StartPlan") -> list[str]:
    """What could not be checked here."""
    from configs.gpu_count import unknown_count
    from configs.gpu_memory import unknown_sizes
    from configs.profile import load_settings

    if plan.profile is None:
        return []
    return [*unknown_count(plan.profile), *unknown_sizes(plan.profile, load_settings(plan.profile))]


for command in (config, node, bench, keys):
    main.add_command(command)

if __name__ == "__main__":
    main()
