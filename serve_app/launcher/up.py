"""`prsm-serve up`: starts Ray and the graph, watches them until a signal, and ends all of it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Event, Thread
from typing import NoReturn

from serve_app.launcher import ports, processes, runs
from serve_app.launcher.auth import (
    TOKEN_PATH,
    TokenFileError,
    read_token,
    require_private_token,
)
from serve_app.launcher.dashboard import Dashboard, DashboardError
from serve_app.launcher.deployed_graph import DeployedGraph
from serve_app.launcher.environment import MARKER
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.preparation import prepare, start_environment
from serve_app.launcher.progress import progress_for, say, terminal
from serve_app.launcher.prometheus import (
    HOST,
    PrometheusError,
    Targets,
    require_prometheus,
    start_prometheus,
)
from serve_app.launcher.ray_head import InvalidConfigError, RayHeadProcess, StartError
from serve_app.launcher.signals import StopSignals
from serve_app.launcher.state import http_url
from serve_app.launcher.tracing import TracingError, require_exporter
from serve_app.launcher.weights import is_complete

EXIT_STOPPED = 0
"""A signal stopped it, even during the start, and everything that was started has ended."""
EXIT_FAILED = 1
"""The graph did not come up, or broke, or a process could not be ended."""
EXIT_REFUSED = 2
"""The request to start was wrong; nothing was started."""
END_GRACE_S = 3.0
HEAD_LIMIT_S = 20.0
WATCH_S = 1.0


@dataclass(frozen=True)
class UpOptions:
    """How to start. `ray_address` names a running cluster to join; without it a new one starts.

    With `observe` Prometheus runs beside it.
    """

    dashboard_port: int
    ray_address: str | None
    timeout_s: float
    drain_s: float
    observe: bool = False


def up(plan: StartPlan, options: UpOptions) -> int:
    """Start, serve until a signal, shut down; returns the exit code."""
    with StopSignals() as signals:
        own: runs.LockedRun | None = None
        try:
            joins = options.ray_address is not None
            if options.observe:
                require_prometheus()
            if not joins:  # else it is the cluster's matter
                require_exporter(os.environ)
            require_private_token(os.environ)
            base = runs.base_directory()
            own, block = prepare(base, plan, options.dashboard_port, joins=joins)
            return GraphStart(plan, options, own, block, signals).run()
        except (ports.PortError, PrometheusError, TokenFileError, TracingError) as error:
            say(f"error: {error}")
            return EXIT_REFUSED
        except KeyboardInterrupt:  # nothing was started yet
            if own is not None:
                own.remove()
            return EXIT_STOPPED


@dataclass
class GraphStart:
    """One start. It records what it has started, so that all of it can be ended."""

    plan: StartPlan
    options: UpOptions
    own: runs.LockedRun
    block: ports.PortBlock
    signals: StopSignals
    _head: RayHeadProcess | None = None
    _graph: DeployedGraph | None = None
    _is_ready: bool = False
    _parent: int = field(default_factory=os.getppid)

    @cached_property
    def _environment(self) -> Mapping[str, str]:
        joins = self.options.ray_address is not None
        environment = start_environment(self.own.run, self.block, self.plan, joins=joins)
        return {HOST: self._prometheus_url, **environment} if self.options.observe else environment

    @property
    def _prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.block.prometheus}"

    def run(self) -> int:
        """Bring up, watch and shut down; returns the exit code."""
        code = EXIT_FAILED
        try:
            code = self._serve()
        finally:
            ended = self._shut_down()
        return code if ended else EXIT_FAILED

    def _serve(self) -> int:
        """Bring up and watch until something ends it; returns the exit code."""
        try:
            try:
                self._bring_up()
                self._watch()
            finally:
                # From here on no signal may interrupt the shutdown.
                self.signals.disarm()
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
        self._head = RayHeadProcess(self.own.run.path, self._environment)
        self._head.check(
            {
                "config": self.plan.config,
                "address": self.options.ray_address,
                "directory": self.own.run.directory,
                "dashboard_port": self.own.run.dashboard_port,
                "agent_port": self.block.agent,
            }
        )
        self._fetch_weights()
        stage = "joining Ray" if self.options.ray_address else "starting Ray"
        self.own.update(stage=stage)
        say(stage)
        answer = self._head.start()
        if self.options.observe:
            self._observe()
        dashboard = Dashboard(f"http://{answer['dashboard']}", read_token(self._environment))
        token_path = self._environment.get(TOKEN_PATH, "")
        self.own.update(dashboard_url=dashboard.url, token_path=token_path)
        url = self._deploy(dashboard)
        self.own.update(url=url)
        self._is_ready = True
        self._announce(url, dashboard.url, time.monotonic() - began)

    def _observe(self) -> None:
        targets = Targets(http_url(self.plan.host, self.plan.port), self.block.metrics)
        start_prometheus(self.own.run.path, self.block.prometheus, targets, self._environment)

    def _fetch_weights(self) -> None:
        """Fetch in a process of its own: a download runs in threads, which cannot be ended."""
        if self.plan.profile is None or is_complete(self.plan.profile):
            return
        self.own.update(stage="fetching weights")
        command = [sys.executable, "-m", "serve_app.cli", "models", "--pull", "--quiet"]
        environment = {**os.environ, MARKER: self.own.run.id}
        done = subprocess.run(
            [*command, *self.plan.arguments], env=environment, start_new_session=True, check=False
        )
        if done.returncode:
            raise StartError("the weights could not be fetched")

    def _deploy(self, dashboard: Dashboard) -> str:
        """Deploy the graph and wait until it answers; returns its URL."""
        self._graph = DeployedGraph(dashboard, self.plan)
        say(f"deploying {', '.join(sorted(self.plan.names))}")
        if self._graph.deploy(self.options.timeout_s, self._check):
            say("Serve runs on that cluster already: its HTTP address stays as it is")
        progress = progress_for(terminal())
        try:
            return self._graph.wait(progress, self.options.timeout_s, self._check)
        finally:
            progress.close()

    def _announce(self, url: str, dashboard_url: str, took_s: float) -> None:
        if self.options.ray_address:
            say("joined a running cluster: the fast path depends on that cluster's environment")
        token = self._environment.get(TOKEN_PATH)
        say(f"ready   {url}  (after {took_s:.1f} s)")
        say(f"docs    {url}/docs")
        if self.options.observe:
            say(f"metrics {self._prometheus_url}  (Prometheus)")
        say(f"Ray     {dashboard_url}" + (f"  (token in {token})" if token else ""))
        say("Ctrl-C to stop")

    def _watch(self) -> NoReturn:
        while True:
            self._check()
            time.sleep(WATCH_S)

    def _check(self) -> None:
        """Raise `StartError` if Ray's head has ended, `KeyboardInterrupt` if make has."""
        assert self._head is not None
        self._head.require_alive()
        processes.reap(keep=self._head.pid)
        # When make is stopped, the shell of a recipe with several commands ends without
        # sending us a signal. A parent other than make may leave: that is what nohup is for.
        if "MAKELEVEL" in os.environ and os.getppid() != self._parent:
            raise KeyboardInterrupt

    def _shut_down(self) -> bool:
        """End everything; returns whether no process survived."""
        hurry = self.signals.hurry
        run_id = self.own.run.id
        if self._is_ready and not self.options.ray_address:
            processes.drain(run_id, self.options.drain_s, hurry)
        if self._graph is not None:
            _remove_graph(self._graph, self.options.drain_s, hurry)
        if self._head is not None:
            processes.wait(self._head.release(), HEAD_LIMIT_S, hurry)
        survivors = processes.end(run_id, 0.0 if hurry.is_set() else END_GRACE_S, hurry)
        if survivors:
            say(f"could not end processes {', '.join(map(str, survivors))}")
        if kept := self.own.remove():
            say(f"logs    {kept}")
        say("stopped")
        return not survivors


def _remove_graph(graph: DeployedGraph, limit_s: float, hurry: Event) -> None:
    """Take the graph down, but wait no longer than `limit_s`, and not once `hurry` is set."""

    def remove() -> None:
        # A cluster that is broken or gone has nothing to take down gracefully.
        with contextlib.suppress(DashboardError):
            graph.remove(limit_s)

    removing = Thread(target=remove, daemon=True)
    removing.start()
    limit = time.monotonic() + limit_s
    while removing.is_alive() and time.monotonic() < limit and not hurry.is_set():
        removing.join(0.05)
