"""HAProxy as a start runs it: its options, its own answers, and clients that leave."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from bench.peers.running import free_port
from serve_app.launcher import haproxy
from serve_app.launcher.haproxy import BINARY, haproxy_environment

PATIENCE_S = 30.0
CONFIG = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  errorfile 503 {page}
  option abortonclose
  option splice-request
frontend prometheus
  bind :{metrics}
  http-request use-service prometheus-exporter
frontend front
  bind fd@{front}
  default_backend behind
backend behind
  server one 127.0.0.1:{behind}
listen stats
  bind *:{stats}
  stats enable
"""
HEAD = b"POST / HTTP/1.1\r\nHost: house\r\nContent-Length: 5\r\n\r\n"


@pytest.fixture
def behind() -> Iterator[socket.socket]:
    """The server that HAProxy forwards to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def front(
    tmp_path: Path, behind: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    """HAProxy with the options of Serve's configuration that matter here."""
    monkeypatch.setattr(haproxy, "HEADERS_LIMIT_S", 1)
    page = tmp_path / "500.http"
    page.write_text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nplain")
    binary = haproxy_environment(tmp_path)[BINARY]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = tmp_path / "haproxy.cfg"
        ports = {"front": listener.fileno(), "behind": behind.getsockname()[1]}
        ports |= {"metrics": free_port(), "stats": free_port()}
        config.write_text(CONFIG.format(page=page, **ports))
        process = subprocess.Popen([binary, "-f", str(config), "-db"], pass_fds=[listener.fileno()])
        try:
            yield listener.getsockname()
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def test_the_binary_is_the_packaged_one(tmp_path: Path) -> None:
    binary = haproxy_environment(tmp_path)[BINARY]
    shown = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stdout
    assert "HAProxy version" in shown


def test_a_client_that_leaves_is_noticed_although_its_body_came_late(
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


def test_half_a_request_ends_at_the_time_limit(front: tuple[str, int]) -> None:
    assert received(front, b"POST /v1/chat/comp").startswith(b"HTTP/1.1 408")


def test_a_connection_that_is_never_used_is_closed_without_an_answer(
    front: tuple[str, int],
) -> None:
    assert received(front, b"") == b""


def test_without_a_replica_the_answer_is_the_envelope_and_says_when_to_try_again(
    front: tuple[str, int], behind: socket.socket
) -> None:
    behind.close()
    answer = received(front, b"GET / HTTP/1.1\r\nHost: house\r\nConnection: close\r\n\r\n")
    head, _, body = answer.decode().partition("\r\n\r\n")
    headers = {name.lower(): value for name, value in re.findall(r"(?m)^([\w-]+): (.+?)\r?$", head)}
    envelope = json.loads(body)
    assert head.startswith("HTTP/1.1 503")
    assert int(headers["retry-after"]) > 0
    assert (envelope["success"], envelope["error_type"]) == (False, "service_unavailable")
    assert envelope["request_id"] == headers["x-request-id"] != ""
    assert envelope["error"]["message"] == envelope["message"] != ""
    assert datetime.fromisoformat(envelope["timestamp"]).tzinfo is not None


def test_a_configuration_that_was_extended_is_not_extended_again(
    tmp_path: Path, front: tuple[str, int]
) -> None:
    config = tmp_path / "haproxy.cfg"
    assert received(front, b"") == b""  # it is up, so the configuration is what it will be
    once = config.read_text()
    assert once.count("http-error") == len(haproxy.ERRORS)
    subprocess.run([haproxy_environment(tmp_path)[BINARY], "-v", str(config)], check=True)
    assert config.read_text() == once


def test_statistics_are_on_loopback_only_and_the_front_listens_as_configured(
    tmp_path: Path, front: tuple[str, int]
) -> None:
    assert received(front, b"") == b""  # it is up, so the configuration is what it will be
    binds = re.findall(r"(?m)^ *bind (.*):", (tmp_path / "haproxy.cfg").read_text())
    assert binds == ["127.0.0.1", "127.0.0.1"]
    served = "frontend http_frontend\n    bind *:8000\n"
    (tmp_path / "open.cfg").write_text(served)
    subprocess.run(
        [haproxy_environment(tmp_path)[BINARY], "-v", str(tmp_path / "open.cfg")], check=True
    )
    assert "bind *:8000" in (tmp_path / "open.cfg").read_text()


def received(front: tuple[str, int], sent: bytes) -> bytes:
    """Send bytes; returns everything that is received until the connection closes."""
    with socket.create_connection(front, PATIENCE_S) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(4096), b""))
