"""TCP ports: whether one is free, who holds it, and a block of ports for each start."""

import socket
from collections.abc import Collection
from dataclasses import dataclass

import psutil

# Blocks lie below 30000, where Serve's own default ports begin, and so also below Linux's ephemeral
# range (from 32768 on), where an outgoing connection could take a port.
FIRST_BLOCK = 20_000
BLOCK_SIZE = 800
BLOCKS = 12
HTTP_OFFSET = 10
GRPC_OFFSET = 400
DASHBOARD_TRIES = 100


class PortError(Exception):
    """A port is not available; the message is one line for the user."""


@dataclass(frozen=True)
class PortBlock:
    """The ports of one start: `BLOCK_SIZE` consecutive ones from `first` on."""

    first: int
    stats: int
    """HAProxy's statistics page."""
    metrics: int
    """HAProxy's Prometheus page."""
    fallback_http: int
    """Serve's own proxy, which answers while HAProxy has no replica."""
    fallback_grpc: int
    """The same for gRPC."""
    autoscaler: int
    """Prometheus page of Ray's autoscaler."""
    dashboard_metrics: int
    """Prometheus page of Ray's dashboard."""
    agent: int
    """HTTP interface of Ray's agent on this node."""
    prometheus: int
    """Prometheus itself, with `--observe`."""
    http: range
    """HTTP ports of replicas."""
    grpc: range
    """gRPC ports of replicas."""

    @classmethod
    def at(cls, first: int) -> "PortBlock":
        """The block that begins at port `first`."""
        return cls(
            first,
            stats=first,
            metrics=first + 1,
            fallback_http=first + 2,
            fallback_grpc=first + 3,
            autoscaler=first + 4,
            dashboard_metrics=first + 5,
            agent=first + 6,
            prometheus=first + 7,
            http=range(first + HTTP_OFFSET, first + GRPC_OFFSET),
            grpc=range(first + GRPC_OFFSET, first + BLOCK_SIZE),
        )


def is_free(port: int, host: str = "") -> bool:
    """Whether a server could listen on `port` of `host` (every IPv4 interface when empty)."""
    return _listen_error(port, host) is None


def require_free(host: str, port: int) -> None:
    """Raise `PortError` unless a server can listen on `host` and `port`."""
    error = _listen_error(port, host)
    if error is None:
        return
    holder = _holder(port)
    if holder is not None:
        raise PortError(f"port {port} on {host} is in use by {holder}; choose another with --port")
    raise PortError(f"cannot listen on {host} port {port}: {error.strerror or error}")


def first_free(start: int, taken: Collection[int] = (), host: str = "127.0.0.1") -> int:
    """The first port from `start` on that is free on `host` and not in `taken`."""
    for port in range(start, min(start + DASHBOARD_TRIES, 65_536)):
        if port not in taken and is_free(port, host):
            return port
    raise PortError(f"no free port from {start} to {start + DASHBOARD_TRIES - 1} on {host}")


def free_block(taken: Collection[int] = ()) -> PortBlock:
    """A block in which nobody listens. `taken` are the first ports of other starts' blocks."""
    for number in range(BLOCKS):
        first = FIRST_BLOCK + number * BLOCK_SIZE
        block = range(first, first + BLOCK_SIZE)
        if first not in taken and all(is_free(port) for port in block):
            return PortBlock.at(first)
    last = FIRST_BLOCK + BLOCKS * BLOCK_SIZE - 1
    raise PortError(f"no {BLOCK_SIZE} consecutive ports are free from {FIRST_BLOCK} to {last}")


def _listen_error(port: int, host: str) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as candidate:
            # A server may listen although connections of an earlier one linger in TIME_WAIT.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(address)
            candidate.listen(1)
    except OSError as error:
        return error
    return None


def _holder(port: int) -> str | None:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ):
            if connection.pid is None or not psutil.pid_exists(connection.pid):
                return "another process"
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
