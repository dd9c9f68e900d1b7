"""The environment of every process of a start: Serve's fast path, own ports, and a marker."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from serve_app.launcher.ports import PortBlock

MARKER = "PRSM_SERVE_RUN"
FRONT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.ingress.front.entry:middlewares"}
"""Makes Serve put this service's front around its HTTP entry."""
PACKED = {"RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY": "1"}
"""Makes Serve put replicas where others are already, and move those of a node that the others have
room for once the graph has been calm for five minutes. By default it spreads them, and a node that
came for a load stays because some last replica is on it."""
ON_LOOPBACK = {
    # Ray then takes 127.0.0.1 for the address of its node, as it does on macOS, where it does not
    # form clusters: its processes listen there and nowhere else.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Keeps what a cluster of one machine needs inside off its network."""
LOOPBACK_HOOK = {
    # Ray calls this in every worker before its actor is made.
    "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR": "serve_app.launcher.loopback.bind_grpc_to_loopback",
}
"""The same for Serve's gRPC servers, which take all interfaces."""
TIMERS = {
    # At Serve's 0.1 s the controller takes a tenth of a core all the time.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    # How often each replica, and each handle to a deployment, hands its counts to Ray's metrics,
    # which pass them on every ten seconds. Serve's 0.1 s took two per cent of a core in all. With
    # more than this, too many requests would be handed over at a time, on the event loop.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "500",
    # How often the node's agent and the dashboard read what all processes take, for Ray's metrics:
    # as often as Prometheus asks for those (deploy/prometheus), instead of every five seconds.
    "REPORTER_UPDATE_INTERVAL_MS": "15000",
    "METRICS_RECORD_INTERVAL_S": "15",
    # How soon Ray's object store notices a full disk. Calls of this graph do not go through it.
    "RAY_local_fs_monitor_interval_ms": "1000",
}
"""What Serve and Ray do by the clock in every graph, also in one that nobody asks anything. None of
it decides how soon a failure or a load is noticed, except the controller's loop."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# A replica of the ingress that shuts down stays reachable for so long: until HAProxy beside it has
# been reloaded, which takes seconds on a busy machine, and clients have had an answer from the old
# process of HAProxy, which closes their connection with it.
DRAINING_S = 6
DRAINING_ON_MANY_NODES_S = 30
# HAProxy closes a connection after this long if the client neither sends the rest of its request
# nor reads its answer. Waiting for an answer does not count, and streams send comments more often.
IDLE_CLIENT_S = 60
# An old HAProxy serves its open connections after a reload, and closes each with an answer that
# says so. With a time here it would also close idle ones by itself, and a request that is written
# at that moment would be lost.
CLOSE_IDLE_S = 0
# A request on such a connection may come when the old HAProxy knows only replicas that are gone. It
# tries each of them three times before it counts as down, and then goes to Serve's own proxy: so
# this is enough for 16 replicas.
RETRIES = 48
AFTER_DEADLINE_S = 30


@dataclass(frozen=True)
class Workload:
    """The properties of the graph on which the environment depends.

    `longest_s` is the longest that one request may take. With `many_nodes` replicas may run on
    other nodes than HAProxy does.
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
    """Serve's fast path with this start's own paths and ports; variables of `given` win.

    Serve reads these when its processes start, so they must be set before Ray starts.
    """
    defaults = {
        **fast_path(workload, cpus),
        # Ray renames its workers with setproctitle, which by default overwrites the environment
        # that the kernel shows, and so the marker.
        "SPT_NOENV": "1",
        **haproxy_paths(directory),
        **_ports(ports),
    }
    environment = {**defaults, **given, MARKER: run_id}
    # An address would make workers of this start connect to another cluster.
    environment.pop("RAY_ADDRESS", None)
    return environment


def fast_path(workload: Workload, cpus: int) -> dict[str, str]:
    """What Serve and Ray have to be told on every node, whatever its ports and paths."""
    draining = DRAINING_ON_MANY_NODES_S if workload.many_nodes else DRAINING_S
    return {
        **(PACKED if workload.many_nodes else {}),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # The fast path writes log records by the thousand: an error would not show in time.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": str(IDLE_CLIENT_S),
        # Serve reloads HAProxy whenever replicas of the ingress start or stop. The old HAProxy
        # process ends its open connections after this time; Serve's 120 s would cut streams.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(ceil(workload.longest_s) + AFTER_DEADLINE_S),
        "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": str(CLOSE_IDLE_S),
        "RAY_SERVE_HAPROXY_RETRIES": str(RETRIES),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, max(1, cpus // 4))),
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(draining),
        **TIMERS,
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray starts its workers at nice 15: everything else on the machine would run first.
        "RAY_worker_niceness": "0",
    }


def haproxy_paths(directory: Path) -> dict[str, str]:
    """Where Serve writes HAProxy's configuration, sockets and state: in ``directory``."""
    # Names are short because Serve adds a directory named by the node id (56 characters).
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
    }


def _ports(ports: PortBlock) -> dict[str, str]:
    return {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.http.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.http.stop - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.grpc.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.grpc.stop - 1),
    }
