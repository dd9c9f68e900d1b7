"""The environment that every process of a start inherits: Serve's fast path, and a marker."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from serve_app.launcher.ports import PortBlock

MARKER = "PRSM_SERVE_RUN"
FRONT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.ingress.front.entry:middlewares"}
"""What puts this service's front outside Serve's HTTP entry."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# A replica that goes away waits this long for load balancers to notice. On one node the only one is
# HAProxy next to it, which hears of it within a fraction of a second.
DRAINING_S = 1
DRAINING_ON_MANY_NODES_S = 30
# A client that neither sends what it announced nor reads its answer is cut off after this long.
# Waiting for an answer does not count, and a stream sends a comment more often than that.
IDLE_CLIENT_S = 60
# An old HAProxy serves its open connections after a reload; idle ones are closed within this time.
CLOSE_IDLE_S = 10
AFTER_DEADLINE_S = 30


@dataclass(frozen=True)
class Workload:
    """What the environment depends on of the graph that will run.

    `longest_s` is the longest that one request may take; with `many_nodes` replicas may run on
    other nodes than HAProxy.
    """

    longest_s: float = 300.0
    many_nodes: bool = False


def serve_environment(
    given: Mapping[str, str],
    run_id: str,
    directory: Path,
    ports: PortBlock,
    cpus: int,
    workload: Workload,
) -> dict[str, str]:
    """Serve's fast path with this start's own paths and ports; what `given` sets wins.

    Serve reads these when its processes start, so they must be there before Ray is started.
    """
    defaults = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # The fast path holds log records back until there are a thousand: an error would not show.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(IDLE_CLIENT_S),
        # Serve reloads HAProxy whenever replicas of the ingress come or go, and HAProxy ends what
        # the old one still serves at this time, Serve's 120 s: a stream may take longer.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(ceil(workload.longest_s) + AFTER_DEADLINE_S),
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": str(CLOSE_IDLE_S),
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(
            DRAINING_ON_MANY_NODES_S if workload.many_nodes else DRAINING_S
        ),
        # At Serve's 0.1 s the controller takes a tenth of a core, for ever.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray starts its workers at nice 15: whatever else runs on the machine would go first.
        "RAY_worker_niceness": "0",
        # Ray renames its workers with setproctitle, which by default overwrites what the kernel
        # shows as their environment, and with it the marker.
        "SPT_NOENV": "1",
        **_haproxy(directory, ports, cpus),
        **_other_ports(ports),
    }
    environment = {**defaults, **given, MARKER: run_id}
    # The start is local by now; an address would turn its workers to another cluster.
    environment.pop("RAY_ADDRESS", None)
    return environment


def _haproxy(directory: Path, ports: PortBlock, cpus: int) -> dict[str, str]:
    # Short names: Serve puts a directory named by the node id (56 characters) in between.
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.metrics),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, max(1, cpus // 4))),
    }


def _other_ports(ports: PortBlock) -> dict[str, str]:
    return {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.http.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.http.stop - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.grpc.stop - 1),
    }
