"""Deploys the graph on a Ray cluster, waits until it answers, and takes only it down again."""

import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from serve_app.launcher.dashboard import Dashboard, NoAnswerError
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.progress import StartProgress
from serve_app.launcher.ray_head import StartError
from serve_app.launcher.state import ServeState, http_url

POLL_S = 0.25
ANSWER_LIMIT_S = 5.0
READINESS = "/health/readiness"
EVERY_INTERFACE = {"", "0.0.0.0", "::", None}  # noqa: S104 - to tell what a host means

Answer = TypeVar("Answer")


class DeployedGraph:
    """The plan's applications on one cluster, beside those of others."""

    def __init__(self, dashboard: Dashboard, plan: StartPlan) -> None:
        self._dashboard = dashboard
        self._plan = plan
        self._was_running = False
        self._is_deployed = False

    def deploy(self, limit_s: float, check: Callable[[], None]) -> bool:
        """Apply the config; returns whether Serve ran already, with its own HTTP options.

        The dashboard of a busy machine may be slow: it is polled again until `limit_s` have passed.
        Applying a config twice has the same effect as applying it once. `check` is called before
        each request to the dashboard and raises when the start cannot go on.
        """
        limit = time.monotonic() + limit_s
        details = _polled(self._dashboard.details, limit, check)
        self._was_running = bool((details.get("controller_info") or {}).get("actor_id"))
        if taken := sorted(self._plan.names & set(details.get("applications") or {})):
            raise StartError(f"application {', '.join(taken)} runs on that cluster already")
        self._is_deployed = True
        config = self._config(details, self._plan.config["applications"])
        _polled(lambda: self._dashboard.deploy(config), limit, check)
        return self._was_running

    def wait(self, progress: StartProgress, limit_s: float, check: Callable[[], None]) -> str:
        """Show progress until the graph answers 200 on readiness; returns its URL.

        Raises `StartError` with the failed deployment's own message, or when time is up.
        """
        limit = time.monotonic() + limit_s
        while True:
            state = _polled(self._dashboard.state, limit, check).only(self._plan.names)
            progress.show(state)
            for application in state.applications:
                if failure := application.failure:
                    raise StartError(failure)
            if state.is_healthy and len(state.applications) == len(self._plan.names):
                break
            _pause(limit, "the deployments were not healthy in time")
        url = self._url(state)
        while not _answers(url):
            check()
            _pause(limit, f"{url}{READINESS} did not answer 200 in time")
        return url

    def remove(self, limit_s: float) -> None:
        """Take down what was deployed here, and Serve too if it started with it."""
        if not self._is_deployed:
            return
        limit = time.monotonic() + limit_s
        details = _polled(self._dashboard.details, limit, None)
        if self._was_running or set(details.get("applications") or {}) - self._plan.names:
            rest = self._config(details, [])
            _polled(lambda: self._dashboard.deploy(rest), limit, None)
        else:
            self._dashboard.shut_down(limit_s)

    def _config(self, details: dict[str, Any], own: list[dict[str, Any]]) -> dict[str, Any]:
        """Our config and others' applications, since Serve takes down what a config leaves out."""
        config = dict(self._plan.config)
        if self._was_running:
            config.pop("logging_config", None)  # it would change that of all applications
        running = (details.get("applications") or {}).items()
        others = [
            each["deployed_app_config"]
            for name, each in running
            if name not in self._plan.names and each.get("deployed_app_config")
        ]
        return {**config, "applications": [*others, *own]}

    def _url(self, state: ServeState) -> str:
        host, port = state.host or self._plan.host, state.port or self._plan.port
        if host in EVERY_INTERFACE:
            host = urlsplit(self._dashboard.url).hostname or "127.0.0.1"
        prefix = state.applications[0].route_prefix.rstrip("/")
        return http_url(host, port) + prefix


def _polled(fetch: Callable[[], Answer], limit: float, check: Callable[[], None] | None) -> Answer:
    """The dashboard's answer; `fetch` is called again until there is one or `limit` has come."""
    while True:
        if check is not None:
            check()
        try:
            return fetch()
        except NoAnswerError as error:
            _pause(limit, str(error))


def _pause(limit: float, complaint: str) -> None:
    if time.monotonic() >= limit:
        raise StartError(complaint)
    time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        response = httpx.get(f"{url}{READINESS}", timeout=ANSWER_LIMIT_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return response.status_code == 200
