"""The HAProxy of a start: the packaged one, and a client that leaves is seen to leave."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.launcher.haproxy import BINARY, haproxy_environment

PATIENCE_S = 30.0
CONFIG = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option abortonclose
  option splice-request
frontend front
  bind fd@{front}
  default_backend behind
backend behind
  server one 127.0.0.1:{behind}
"""
HEAD = b"POST / HTTP/1.1\r\nHost: house\r\nContent-Length: 5\r\n\r\n"


@pytest.fixture
def behind() -> Iterator[socket.socket]:
    """What HAProxy forwards to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def front(tmp_path: Path, behind: socket.socket) -> Iterator[tuple[str, int]]:
    """HAProxy with the options of Serve's configuration that matter here."""
    binary = haproxy_environment(tmp_path)[BINARY]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = tmp_path / "haproxy.cfg"
        config.write_text(CONFIG.format(front=listener.fileno(), behind=behind.getsockname()[1]))
        process = subprocess.Popen([binary, "-f", str(config), "-db"], pass_fds=[listener.fileno()])
        try:
            yield listener.getsockname()
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def test_it_is_the_packaged_one(tmp_path: Path) -> None:
    binary = haproxy_environment(tmp_path)[BINARY]
    shown = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stdout
    assert "HAProxy version" in shown


def test_a_client_is_seen_to_leave_though_its_body_came_late(
    front: tuple[str, int], behind: socket.socket
) -> None:
    with socket.create_connection(front, PATIENCE_S) as client:
        client.sendall(HEAD)
        served, _ = behind.accept()
        served.settimeout(PATIENCE_S)
        received = b""
        while b"\r\n\r\n" not in received:
            received += served.recv(4096)
        client.sendall(b"hello")
        while not received.endswith(b"hello"):
            received += served.recv(4096)
    with served, contextlib.suppress(ConnectionResetError):
        assert served.recv(4096) == b""  # the client is gone, and so is the connection behind
