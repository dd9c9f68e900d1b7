"""What a graph on one machine listens on."""

from __future__ import annotations

from ipaddress import ip_address

import psutil
import pytest

from serve_app.launcher.environment import MARKER
from serve_app.launcher.processes import marked
from tests.e2e.conftest import Graph

BEYOND_LOOPBACK: set[str] = set()
"""Names of processes that may listen on other addresses; docs/operations.md has the reasons."""


def test_nothing_of_a_graph_listens_beyond_loopback(graph: Graph) -> None:
    if graph.launcher is None:
        pytest.skip("the graph is not this session's")
    head = next(each for each in graph.launcher.children() if MARKER in each.environ())
    listeners = [
        (process.name(), ip_address(each.laddr.ip.removeprefix("::ffff:")))
        for process in marked(head.environ()[MARKER])
        for each in process.net_connections(kind="tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr
    ]
    assert {"gcs_server", "raylet", "haproxy"} <= {name for name, _ in listeners}
    beyond = {(name, str(address)) for name, address in listeners if not address.is_loopback}
    assert not {each for each in beyond if each[0] not in BEYOND_LOOPBACK}
