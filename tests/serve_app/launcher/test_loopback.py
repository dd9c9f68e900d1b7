"""Servers of a start on one machine listen on loopback; a start that joins a cluster does not."""

from __future__ import annotations

from pathlib import Path

import grpc
import psutil
import pytest
from ray._common import tls_utils

from serve_app.launcher.environment import LOOPBACK_HOOK, ON_LOOPBACK
from serve_app.launcher.loopback import NAME, bind_grpc_to_loopback
from serve_app.launcher.options import plan_of
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.ports import PortBlock
from serve_app.launcher.preparation import start_environment
from serve_app.launcher.runs import RunRecord


async def test_a_grpc_server_for_all_interfaces_listens_on_loopback_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray.serve._private import replica

    for module in (tls_utils, replica):  # to be put back
        monkeypatch.setattr(module, NAME, getattr(module, NAME))
    bind_grpc_to_loopback()
    server = grpc.aio.server()
    port = getattr(replica, NAME)(server, "[::]:0")
    await server.start()
    try:
        own = psutil.Process().net_connections(kind="tcp")
        places = {each.laddr.ip for each in own if each.laddr and each.laddr.port == port}
        assert places == {"::ffff:127.0.0.1"}  # gRPC's sockets are of both families
    finally:
        await server.stop(None)


@pytest.mark.parametrize("joins", [True, False])
def test_only_a_cluster_of_one_machine_is_kept_on_loopback(
    joins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*ON_LOOPBACK, *LOOPBACK_HOOK):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "other").mkdir()
    run, other = (RunRecord("abc123", str(each), 0, 0) for each in (tmp_path, tmp_path / "other"))
    plan = plan_of("embedded", None)
    environment = start_environment(run, PortBlock.at(20_000), plan, joins=joins)
    for expected in (ON_LOOPBACK, LOOPBACK_HOOK):
        assert (expected.items() <= environment.items()) is not joins
    others = start_environment(other, PortBlock.at(20_000), StartPlan({}, None, ()), joins=joins)
    assert not LOOPBACK_HOOK.keys() & others.keys()  # its workers may not have this package
