"""A node of a Ray cluster that serves the graph: its environment, and a command run in it.

`prsm-serve up` starts a cluster of its own on one machine. On several machines Ray is started by
its own command, and each node has to have the environment that is made here.
"""

import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from serve_app.launcher import processes
from serve_app.launcher.auth import MODE
from serve_app.launcher.environment import FRONT, MARKER, Workload, fast_path, haproxy_paths
from serve_app.launcher.haproxy import BINARY, haproxy_environment
from serve_app.launcher.progress import say
from serve_app.launcher.runs import base_directory
from serve_app.launcher.signals import StopSignals

GRPC_PORTS = {
    # Serve's own 40000 to 41000 lie among the ports from which Linux takes one for each outgoing
    # connection (32768 and up).
    "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": "31001",
    "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": "32000",
}
PREFIX = "prsm-node-"
"""Of the names of directories; that of runs of the launcher (`runs.NAME`) must not match them."""

HAPROXY_SCRIPT = "haproxy"
EXIT_LEFTOVERS = 1
END_GRACE_S = 5.0


class NodeError(Exception):
    """The node cannot be set up or started; the message is for the user."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: the graph's workload, and how many cores this machine has."""

    workload: Workload
    cpus: int

    def environment(self, directory: Path) -> dict[str, str]:
        """The variables that Ray has to be started with; HAProxy's script is in ``directory``."""
        return {
            **fast_path(replace(self.workload, many_nodes=True), self.cpus),
            **FRONT,
            **GRPC_PORTS,
            BINARY: str(directory / HAPROXY_SCRIPT),
            MODE: "token",
        }


def write_haproxy(directory: Path) -> None:
    """Write the script that starts HAProxy, and its error pages, to ``directory``.

    Raises :class:`NodeError` where files of ``directory`` cannot be written or executed.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_executable = haproxy_environment(directory)
    except OSError as error:
        raise NodeError(f"{directory}: cannot be written ({error.strerror})") from None
    if not is_executable:
        raise NodeError(f"{directory}: files in it cannot be executed")


def as_exports(environment: Mapping[str, str]) -> str:
    """Lines for ``eval`` of a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def as_env_file(environment: Mapping[str, str]) -> str:
    """Lines of ``NAME=VALUE``, as Kustomize, Compose and ``docker run --env-file`` read them."""
    return "".join(f"{name}={value}\n" for name, value in environment.items())


def run(command: Sequence[str], node: Node, drain_s: float) -> int:
    """Run ``command``, such as ``ray start --head --block``, as a node; returns its exit code.

    When it ends, or a signal ends this process, every process that it started is ended too; Ray
    alone would leave HAProxy behind. Variables of this process's environment win. Raises
    :class:`NodeError` if the command is not there.
    """
    processes.become_subreaper()
    run_id, code = secrets.token_hex(3), 0
    with TemporaryDirectory(prefix=PREFIX, dir=base_directory()) as path:
        environment = _of_run(node, Path(path), run_id)
        # A signal while the command is being started must not leave it behind.
        with StopSignals(armed=False) as signals:
            try:
                # The terminal sends Ctrl-C to this process only, which ends things in order.
                child = psutil.Popen(command, env=environment, start_new_session=True)
            except OSError as error:
                raise NodeError(f"{command[0]}: {error.strerror}") from None
            try:
                signals.arm()
                code = int(child.wait())
            except KeyboardInterrupt:
                say("stopping the node (Ctrl-C again to hurry)")
                child.terminate()  # Ray drains the node: Serve starts its replicas elsewhere
                processes.drain(run_id, drain_s, signals.hurry)
                processes.wait([child], drain_s, signals.hurry)
            finally:
                signals.disarm()
                survivors = processes.end(run_id, END_GRACE_S, signals.hurry)
    if survivors:
        say(f"could not end processes {', '.join(map(str, survivors))}")
    return EXIT_LEFTOVERS if survivors else code


def _of_run(node: Node, directory: Path, run_id: str) -> dict[str, str]:
    write_haproxy(directory)
    return {
        **node.environment(directory),
        **haproxy_paths(directory),
        **os.environ,
        # Ray renames its workers, which would hide the marker (see `serve_environment`).
        "SPT_NOENV": "1",
        MARKER: run_id,
    }
