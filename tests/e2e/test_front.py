"""The front around Serve's real HTTP entry: headers that Serve reads, bodies, request ids."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import BODY_TIMEOUT_S, Graph, wait_until
from tests.e2e.test_generation import NATIVE, TORCH, events, generate

SHORT = {"prompt": "Hi", "max_new_tokens": 8}
DECODED_BY_SERVE = [
    "x-request-id",
    "x-session-id",
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve-multiplexed-model-id",
]
SIXTY_MB = 60_000_000


@pytest.fixture
def wire(base_url: str) -> Iterator[socket.socket]:
    """A TCP connection, to send any bytes."""
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as opened:
        yield opened


def answer(wire: socket.socket) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one answer with a declared length."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += received(wire)
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += received(wire)
    return int(first.split()[1]), headers, body.decode()


def received(wire: socket.socket) -> bytes:
    got = wire.recv(65536)
    assert got, "the connection was closed before the whole answer was there"
    return got


@pytest.mark.parametrize("name", DECODED_BY_SERVE)
def test_no_byte_of_a_header_causes_a_plain_text_error(wire: socket.socket, name: str) -> None:
    wire.sendall(f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{name}: ".encode())
    wire.sendall(b"caf\xe9\r\n\r\n")
    status, headers, body = answer(wire)
    used = name in {"x-request-id", "x-session-id"}
    assert status == (400 if used else 200)
    assert headers["content-type"] == "application/json"
    assert "caf" not in headers["x-request-id"]
    assert not used or f'"param":"{name}"' in body


def test_a_client_cannot_set_serves_deadline(client: httpx.Client) -> None:
    headers = {"x-request-timeout-seconds": "0.001"}
    assert client.post(f"{NATIVE}/generate", json=SHORT, headers=headers).status_code == 200


def test_a_client_can_set_a_deadline_of_its_own(client: httpx.Client) -> None:
    asked = {"prompt": "Write a very long story.", "model_name": TORCH, "max_new_tokens": 4000}
    late = client.post(f"{NATIVE}/generate", json=asked, headers={"x-request-timeout": "0.2"})
    assert (late.status_code, late.json()["error_type"]) == (504, "timeout")
    after = generate(client, prompt="Hi", model_name=TORCH, max_new_tokens=2)
    assert after["usage"]["completion_tokens"] >= 1


def test_a_client_that_leaves_frees_its_slot_whatever_its_headers_say(client: httpx.Client) -> None:
    asked = {"prompt": "Write a very long story.", "model_name": TORCH, "max_new_tokens": 8000}
    headers = {"X-Request-Disconnect-Disabled": "?1"}
    body = {**asked, "temperature": 2, "top_k": 0}
    url = f"{NATIVE}/generate/stream"
    with client.stream("POST", url, json=body, headers=headers) as response:
        assert next(events(response))[0] == "token"
    after = generate(client, prompt="Hi", model_name=TORCH, max_new_tokens=2)
    assert after["usage"]["completion_tokens"] >= 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/liveness", 200),
        ("GET", "/nothing", 404),
        ("PUT", f"{NATIVE}/generate", 405),
        ("POST", f"{NATIVE}/generate", 400),
        ("OPTIONS", f"{NATIVE}/generate", 405),
    ],
)
@pytest.mark.parametrize("given", ["", None, "abc"])
def test_there_is_one_id_on_every_answer(
    client: httpx.Client, method: str, path: str, status: int, given: str | None
) -> None:
    headers = {} if given is None else {"x-request-id": given}
    response = client.request(method, path, headers=headers)
    assert response.status_code == status
    (found,) = response.headers.get_list("x-request-id")
    assert found == given if given else len(found) > 8
    if status >= 400:
        assert response.json()["request_id"] == found


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("POST", f"{NATIVE}/classify")]
)
def test_a_body_over_the_limit_is_a_413_wherever_it_is_sent(
    client: httpx.Client, method: str, path: str
) -> None:
    response = client.request(method, path, content=b" " * SIXTY_MB)
    assert response.status_code == 413
    assert client.get("/v1/models").status_code == 200


def test_a_body_that_does_not_arrive_gets_a_408(wire: socket.socket) -> None:
    head = f"POST {NATIVE}/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    wire.sendall(head.encode() + b"{")
    wire.settimeout(BODY_TIMEOUT_S + 60)
    status, _, body = answer(wire)
    assert status == 408
    assert '"error_type":"timeout"' in body


def test_a_page_of_another_site_cannot_use_a_service_of_this_machine(client: httpx.Client) -> None:
    rebound = client.get("/v1/models", headers={"host": "evil.example"})
    assert rebound.status_code == 403
    assert rebound.json()["error"]["code"] == "insufficient_permissions"
    sent = {"texts": "a"}
    forged = client.post(
        f"{NATIVE}/classify", json=sent, headers={"origin": "https://evil.example"}
    )
    assert forged.json()["error_type"] == "authorization_error"
    local = client.post(
        f"{NATIVE}/classify", json=sent, headers={"origin": "http://localhost:3000"}
    )
    assert local.status_code == 200


def test_haproxy_forwards_to_the_ingress_and_not_to_serves_proxy(graph: Graph) -> None:
    """Serve's own proxy is only the fallback, for the time when no replica is up."""
    if graph.launcher is None:
        pytest.skip("of a graph that this session started")
    processes = graph.launcher.children(recursive=True)
    haproxy = next(each for each in processes if each.name() == "haproxy")
    command = haproxy.cmdline()
    config = Path(command[command.index("-f") + 1]).read_text()
    port = config.partition("listen stats")[2].partition("bind")[2].split()[0].rpartition(":")[2]

    def is_up() -> bool:
        rows = httpx.get(f"http://127.0.0.1:{port}/stats;csv").text.splitlines()
        return any(row.split(",")[17] == "UP" for row in rows if "SERVE_REPLICA" in row)

    wait_until(is_up, 60)


def test_serves_own_health_route_answers_load_balancers(client: httpx.Client) -> None:
    response = client.get("/-/healthz", headers={"host": "replica", "x-request-id": "a b"})
    assert (response.status_code, response.text) == (200, "success")
