"""`prsm-serve up`: everything from an empty machine to a graph that answers, and back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import NoReturn

import psutil

from configs.processor import usable_cores
from serve_app.launcher import ports, processes, runs
from serve_app.launcher.auth import TOKEN_PATH, read_token, token_environment
from serve_app.launcher.dashboard import Dashboard, DashboardError
from serve_app.launcher.deployed_graph import DeployedGraph
from serve_app.launcher.environment import (
    FRONT,
    MARKER,
    Workload,
    serve_environment,
)
from serve_app.launcher.haproxy import haproxy_environment
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.progress import progress_for, say, terminal
from serve_app.launcher.ray_head import InvalidConfigError, RayHeadProcess, StartError
from serve_app.launcher.signals import StopSignals
from serve_app.launcher.state import http_url
from serve_app.launcher.weights import is_complete

EXIT_STOPPED = 0
"""A signal came, at whatever moment of a start, and everything that was started is gone."""
EXIT_FAILED = 1
"""The graph did not come up, or broke, or something could not be ended."""
EXIT_REFUSED = 2
"""What was asked for cannot be started; nothing was."""
LEFTOVER_GRACE_S = 3.0
END_GRACE_S = 3.0
HEAD_LIMIT_S = 20.0
WATCH_S = 1.0


@dataclass(frozen=True)
class UpOptions:
    """How to start. `ray_address` names a running cluster to join instead of an own one."""

    dashboard_port: int
    ray_address: str | None
    timeout_s: float
    drain_s: float


def up(plan: StartPlan, options: UpOptions) -> int:
    """Start, serve until a signal, take down; returns the exit code."""
    with StopSignals() as interrupts:
        own: runs.LockedRun | None = None
        try:
            own, block = _prepare(runs.base_directory(), plan, options)
            return GraphStart(plan, options, own, block, interrupts).run()
        except ports.PortError as error:
            say(f"error: {error}")
            return EXIT_REFUSED
        except KeyboardInterrupt:  # nothing was started yet
            if own is not None:
                own.remove()
            return EXIT_STOPPED


class GraphStart:
    """One start: what it has brought up so far, so that all of it can be taken down."""

    def __init__(
        self,
        plan: StartPlan,
        options: UpOptions,
        own: runs.LockedRun,
        block: ports.PortBlock,
        interrupts: StopSignals,
    ) -> None:
        self._plan = plan
        self._options = options
        self._own = own
        self._interrupts = interrupts
        self._block = block
        front = FRONT if plan.profile else {}
        self._environment = _environment(own.run, block, front, plan.workload)
        self._head: RayHeadProcess | None = None
        self._application: DeployedGraph | None = None
        self._is_ready = False
        self._parent = os.getppid()

    def run(self) -> int:
        """The whole life; returns the exit code."""
        code = EXIT_FAILED
        try:
            code = self._live()
        finally:
            ended = self._take_down()
        return code if ended else EXIT_FAILED

    def _live(self) -> int:
        """Up, and until something ends it; returns the exit code."""
        try:
            try:
                self._bring_up()
                self._watch()
            finally:
                # Only from here on nothing may raise between us and the taking down.
                self._interrupts.disarm()
        except KeyboardInterrupt:
            say("\nstopping (Ctrl-C again to hurry)")
            return EXIT_STOPPED
        except InvalidConfigError as error:
            say(f"error: the Serve config is not valid:\n{error}")
            return EXIT_REFUSED
        except (StartError, DashboardError) as error:
            say(f"error: {error}")
            return EXIT_FAILED

    def _bring_up(self) -> None:
        began = time.monotonic()
        self._head = RayHeadProcess(self._own.run.path, self._environment)
        self._head.check(
            {
                "config": self._plan.config,
                "address": self._options.ray_address,
                "directory": self._own.run.directory,
                "dashboard_port": self._own.run.dashboard_port,
                "agent_port": self._block.agent,
            }
        )
        self._pull()
        say("joining Ray" if self._options.ray_address else "starting Ray")
        answer = self._head.start()
        dashboard = Dashboard(f"http://{answer['dashboard']}", read_token(self._environment))
        token_path = self._environment.get(TOKEN_PATH, "")
        self._own.update(dashboard_url=dashboard.url, token_path=token_path)
        url = self._deploy(dashboard)
        self._own.update(url=url)
        self._is_ready = True
        self._announce(url, dashboard.url, time.monotonic() - began)

    def _pull(self) -> None:
        """Weights come in a process of their own: downloads run in threads that cannot be ended."""
        if self._plan.profile is None or is_complete(self._plan.profile):
            return
        command = [sys.executable, "-m", "serve_app.cli", "models", "--pull", "--quiet"]
        environment = {**os.environ, MARKER: self._own.run.id}
        done = subprocess.run(
            [*command, *self._plan.arguments], env=environment, start_new_session=True, check=False
        )
        if done.returncode:
            raise StartError("the weights could not be fetched")

    def _deploy(self, dashboard: Dashboard) -> str:
        self._application = DeployedGraph(dashboard, self._plan)
        say(f"deploying {', '.join(sorted(self._plan.names))}")
        if self._application.deploy(self._options.timeout_s, self._check):
            say("Serve runs on that cluster already: its HTTP address stays as it is")
        progress = progress_for(terminal())
        try:
            return self._application.wait(progress, self._options.timeout_s, self._check)
        finally:
            progress.close()

    def _announce(self, url: str, dashboard_url: str, took_s: float) -> None:
        if self._options.ray_address:
            say("joined a running cluster: the fast path depends on that cluster's environment")
        token = self._environment.get(TOKEN_PATH)
        say(f"ready   {url}  (after {took_s:.1f} s)")
        say(f"docs    {url}/docs")
        say(f"Ray     {dashboard_url}" + (f"  (token in {token})" if token else ""))
        say("Ctrl-C to stop")

    def _watch(self) -> NoReturn:
        while True:
            self._check()
            time.sleep(WATCH_S)

    def _check(self) -> None:
        """Raise when there is no point in going on."""
        assert self._head is not None
        self._head.require_alive()
        processes.reap(keep=self._head.pid)
        # When make is told to stop, the shell of a recipe with several commands ends without a
        # word to us. Elsewhere a parent may leave: that is what nohup is for.
        if "MAKELEVEL" in os.environ and os.getppid() != self._parent:
            raise KeyboardInterrupt

    def _take_down(self) -> bool:
        """End everything; returns whether nothing survived."""
        hurry = self._interrupts.hurry
        run_id = self._own.run.id
        if self._is_ready and not self._options.ray_address:
            _drain(run_id, self._options.drain_s, hurry)
        if self._application is not None:
            _bounded(self._application, self._options.drain_s, hurry)
        if self._head is not None:
            processes.wait(self._head.release(), HEAD_LIMIT_S, hurry)
        if survivors := processes.end(run_id, 0.0 if hurry() else END_GRACE_S, hurry):
            say(f"could not end processes {', '.join(map(str, survivors))}")
        if kept := self._own.remove():
            say(f"logs    {kept}")
        say("stopped")
        return not survivors


def _prepare(
    base: Path, plan: StartPlan, options: UpOptions
) -> tuple[runs.LockedRun, ports.PortBlock]:
    processes.become_subreaper()
    with runs.registry_lock(base):
        end_leftovers(base)
        if not options.ray_address:
            ports.require_free(plan.host, plan.port)
        others = runs.live(base)
        block = ports.free_block([run.first_port for run in others])
        dashboard_port = ports.first_free(
            options.dashboard_port, [run.dashboard_port for run in others]
        )
        own = runs.create(base)
        # A cluster that is joined may listen elsewhere, and says so when the graph is ready.
        url = "" if options.ray_address else http_url(plan.host, plan.port)
        own.update(first_port=block.first, dashboard_port=dashboard_port, url=url)
    return own, block


def end_leftovers(base: Path) -> None:
    """End what launchers left that were killed. Call it under the registry lock."""
    for run in runs.dead(base):
        left = processes.marked(run.id)
        if left:
            say(f"ending {len(left)} processes that a killed launcher left (run {run.id})")
            processes.end(run.id, LEFTOVER_GRACE_S)
        runs.remove(run)


def _environment(
    run: runs.RunRecord, block: ports.PortBlock, front: Mapping[str, str], workload: Workload
) -> dict[str, str]:
    given = {**front, **os.environ}
    environment = serve_environment(given, run.id, run.path, block, usable_cores(), workload)
    return {
        **haproxy_environment(run.path),
        **environment,
        **token_environment(environment, run.path),
    }


def _drain(run_id: str, limit_s: float, hurry: Callable[[], bool]) -> None:
    """Let HAProxy finish the answers under way; it takes no new connections meanwhile."""
    fronts = []
    for process in processes.marked(run_id):
        with contextlib.suppress(psutil.Error):
            if process.name() == "haproxy":
                process.send_signal(signal.SIGUSR1)
                fronts.append(process)
    processes.wait(fronts, limit_s, hurry)


def _bounded(application: DeployedGraph, limit_s: float, hurry: Callable[[], bool]) -> None:
    """Take the application down, but wait no longer than `limit_s`, or than the user does."""

    def remove() -> None:
        # A cluster that is broken or gone has nothing to take down gracefully.
        with contextlib.suppress(DashboardError):
            application.remove(limit_s)

    removing = Thread(target=remove, daemon=True)
    removing.start()
    limit = time.monotonic() + limit_s
    while removing.is_alive() and time.monotonic() < limit and not hurry():
        removing.join(0.05)
