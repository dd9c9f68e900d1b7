"""`prsm-serve config` and `prsm-serve node`: what a Ray cluster of one's own needs."""

import os
import sys
from pathlib import Path

import click

from serve_app.launcher.options import front_options, graph_options, plan_of, refuse

PRINTS = ("exports", "env-file")


@click.command()
@graph_options
@front_options
@click.option("--profile-at", metavar="PATH", help="Where the nodes find the profile's file.")
@click.option(
    "--rayservice",
    metavar="NAME",
    help="As a Kustomize patch of this RayService; it listens on all interfaces then.",
)
def config(
    profile: str | None,
    config: str | None,
    host: str | None,
    port: int | None,
    profile_at: str | None,
    rayservice: str | None,
) -> None:
    """Print the Serve config that a profile makes, as `up` would apply it."""
    from serve_app.launcher.cluster_config import as_rayservice, as_yaml, with_profile_at

    if rayservice and not host:
        host = "0.0.0.0"  # noqa: S104 - in a pod, behind its network policy
    plan = plan_of(profile, config, host, port)
    content = plan.config if profile_at is None else with_profile_at(plan.config, profile_at)
    text = as_yaml(content) if rayservice is None else as_rayservice(content, rayservice)
    click.echo(text, nl=False)


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@graph_options
@click.option(
    "--haproxy-directory",
    metavar="DIRECTORY",
    help="Where HAProxy's script is on the node, for printing; COMMAND has its own.",
)
@click.option("--write-haproxy", is_flag=True, help="Write the script there.")
@click.option("--print", "form", type=click.Choice(PRINTS), default=PRINTS[0])
@click.option("--cpus", type=click.IntRange(min=1), help="Cores of the node [default: this one's].")
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    help="Seconds that answers under way get to finish when stopping.",
)
def node(
    command: tuple[str, ...],
    profile: str | None,
    config: str | None,
    haproxy_directory: str | None,
    write_haproxy: bool,
    form: str,
    cpus: int | None,
    drain: float,
) -> None:
    """Run COMMAND (`ray start … --block`) with the environment of a cluster's node.

    It ends with every process that it started. Without COMMAND the variables are printed.
    """
    from configs.processor import usable_cores
    from serve_app.launcher import node as nodes
    from serve_app.launcher.tracing import TracingError, require_exporter

    plan = plan_of(profile, config)
    this = nodes.Node(plan.workload, cpus or usable_cores())
    try:
        if command:
            require_exporter(os.environ)
            sys.exit(nodes.run(command, this, drain))
        if haproxy_directory is None:
            raise click.UsageError("give a COMMAND to run, or --haproxy-directory to print")
        directory = Path(haproxy_directory).absolute()
        if write_haproxy:
            nodes.write_haproxy(directory)
    except (nodes.NodeError, TracingError) as error:
        refuse(str(error))
    write = nodes.as_exports if form == PRINTS[0] else nodes.as_env_file
    click.echo(write(this.environment(directory)), nl=False)
