"""Keeps the gRPC servers of Serve's replicas on loopback, where all nodes are one machine.

Serve binds them to all interfaces, and has no setting for it. They take pickled requests, which are
as good as code: Ray's token protects them, and on one machine nobody else has to reach them.
"""

import sys
from typing import Any

ALL_INTERFACES = "[::]"
LOOPBACK = "127.0.0.1"
NAME = "add_port_to_grpc_server"
IMPORTED_BY = "ray.serve._private.replica"


def bind_grpc_to_loopback() -> None:
    """Replace Ray's function that binds a gRPC server. Ray calls this first in every worker."""
    from ray._common import tls_utils

    bind = getattr(tls_utils, NAME)

    def bound(server: Any, address: str) -> int:
        host, _, port = address.rpartition(":")
        given: int = bind(server, f"{LOOPBACK}:{port}" if host == ALL_INTERFACES else address)
        return given

    setattr(tls_utils, NAME, bound)
    if IMPORTED_BY in sys.modules:
        setattr(sys.modules[IMPORTED_BY], NAME, bound)
