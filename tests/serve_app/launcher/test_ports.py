import socket

import pytest

from serve_app.launcher import ports


def _listener(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    server = socket.socket()
    server.bind((host, port))
    server.listen(1)
    return server


def test_a_port_somebody_listens_on_is_not_free_and_free_again_afterwards() -> None:
    with _listener() as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port, "127.0.0.1")
        assert not ports.is_free(port)
    assert ports.is_free(port, "127.0.0.1")


def test_a_port_in_use_is_one_line_that_names_port_host_and_holder() -> None:
    with _listener() as server:
        port = server.getsockname()[1]
        with pytest.raises(ports.PortError) as caught:
            ports.require_free("127.0.0.1", port)
    message = str(caught.value)
    assert f"port {port} on 127.0.0.1 is in use by" in message
    assert "--port" in message
    assert "\n" not in message


def test_a_host_of_another_machine_is_named_in_the_error() -> None:
    # 203.0.113.0/24 is reserved for documentation; 203.0.113.9 is nobody's address.
    with pytest.raises(ports.PortError, match="cannot listen on 203\\.0\\.113\\.9 port"):
        ports.require_free("203.0.113.9", 18123)


def test_the_first_free_port_skips_listeners_and_ports_of_other_starts() -> None:
    with _listener() as server:
        start = server.getsockname()[1]
        found = ports.first_free(start, taken={start + 1})
    assert found > start + 1


def test_two_blocks_share_no_port_and_a_block_is_inside_its_own_range() -> None:
    one = ports.free_block()
    two = ports.free_block(taken={one.first})
    assert not _all_ports(one) & _all_ports(two)
    assert _all_ports(one) <= set(range(one.first, one.first + ports.BLOCK_SIZE))


def test_a_block_in_which_somebody_listens_is_left_alone() -> None:
    free = ports.free_block()
    with _listener("0.0.0.0", free.grpc[5]):
        assert ports.free_block().first != free.first


def test_running_out_of_blocks_is_a_port_error() -> None:
    everything = [ports.FIRST_BLOCK + n * ports.BLOCK_SIZE for n in range(ports.BLOCKS)]
    with pytest.raises(ports.PortError, match="consecutive ports"):
        ports.free_block(everything)


def _all_ports(block: ports.PortBlock) -> set[int]:
    single = {block.stats, block.metrics, block.fallback_http, block.fallback_grpc}
    single |= {block.autoscaler, block.dashboard_metrics, block.agent}
    assert len(single) == 7
    return single | set(block.http) | set(block.grpc)
