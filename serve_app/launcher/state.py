"""The state of Serve's applications and deployments, read from its REST answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FAILED = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True)
class DeploymentState:
    """One deployment: its status, and how many of the wanted replicas run."""

    application: str
    name: str
    status: str
    message: str
    running: int
    wanted: int

    @property
    def is_healthy(self) -> bool:
        """Whether Serve calls it healthy; scaled to zero is healthy."""
        return self.status == "HEALTHY"

    @property
    def is_starting(self) -> bool:
        """Whether its first replicas start, and Serve reports nothing special about them."""
        usual = {"", f"{self.wanted} starting"}
        return self.status == "UPDATING" and not self.running and self.message in usual


@dataclass(frozen=True)
class ApplicationState:
    """One application and its deployments."""

    name: str
    status: str
    message: str
    route_prefix: str
    deployments: tuple[DeploymentState, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and each of its deployments is healthy."""
        return self.status == "RUNNING" and all(each.is_healthy for each in self.deployments)

    @property
    def failure(self) -> str | None:
        """Why it cannot come up: the message of the deployment that failed."""
        for deployment in self.deployments:
            if deployment.status in FAILED:
                return f"{deployment.name} {deployment.status}: {deployment.message}"
        return f"{self.name} {self.status}: {self.message}" if self.status in FAILED else None


@dataclass(frozen=True)
class ServeState:
    """Every application of a cluster, and the address of its HTTP front."""

    applications: tuple[ApplicationState, ...]
    host: str | None
    port: int | None

    @property
    def url(self) -> str | None:
        """The HTTP front's address, None when Serve does not say."""
        if not self.host or not self.port:
            return None
        return http_url(self.host, self.port)

    @property
    def is_healthy(self) -> bool:
        """Whether there are applications, and all of them are healthy."""
        return bool(self.applications) and all(each.is_healthy for each in self.applications)

    def only(self, names: frozenset[str]) -> "ServeState":
        """The same without other applications than `names`."""
        kept = tuple(each for each in self.applications if each.name in names)
        return ServeState(kept, self.host, self.port)


def parse_state(details: Mapping[str, Any]) -> ServeState:
    """Read the answer of `GET /api/serve/applications/`."""
    http = details.get("http_options") or {}
    applications = details.get("applications") or {}
    return ServeState(
        applications=tuple(_application(name, each) for name, each in applications.items()),
        host=http.get("host"),
        port=http.get("port"),
    )


def _application(name: str, details: Mapping[str, Any]) -> ApplicationState:
    deployments = details.get("deployments") or {}
    status = details.get("status") or "UNKNOWN"
    building = "building the graph" if status == "DEPLOYING" and not deployments else ""
    return ApplicationState(
        name=name,
        status=status,
        message=details.get("message") or building,
        route_prefix=details.get("route_prefix") or "/",
        deployments=tuple(_deployment(name, key, each) for key, each in deployments.items()),
    )


def _deployment(application: str, name: str, details: Mapping[str, Any]) -> DeploymentState:
    replicas = details.get("replicas") or []
    return DeploymentState(
        application=application,
        name=name,
        status=details.get("status") or "UNKNOWN",
        message=details.get("message") or _replica_states(replicas),
        running=sum(replica.get("state") == "RUNNING" for replica in replicas),
        wanted=details.get("target_num_replicas") or 0,
    )


def _replica_states(replicas: Sequence[Mapping[str, Any]]) -> str:
    """The states of replicas that do not run, for deployments about which Serve says nothing."""
    states = Counter(str(each.get("state")) for each in replicas)
    return ", ".join(
        f"{count} {state.lower().replace('_', ' ')}"
        for state, count in states.items()
        if state != "RUNNING"
    )


def http_url(host: str, port: int) -> str:
    """The root at ``host``, which may be an IPv6 address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
