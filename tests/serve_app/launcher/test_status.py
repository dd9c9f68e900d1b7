"""`prsm-serve status` beside a dashboard and a graph that answer as the real ones do."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from serve_app.cli import main
from serve_app.launcher.limits import (
    MODELS,
    PERFORMANCE,
    LimitsUnknownError,
    binding_limits,
    limits_in_force,
)

KEY = "let-me-in"
Answer = Callable[[str, str | None], tuple[int, Any]]


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """A server on this machine; `answer` is given a path and a key, and gives status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path, self.headers.get("Authorization"))
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def live(replica: str, size: float, *refused: str) -> dict[str, Any]:
    in_force = {"max_batch_size": size, "max_forward_ms": 100.0}
    return {"replica": replica, "node": "n", "in_force": in_force, "refused": list(refused)}


BINDING = {
    "embeddings": {"limits": [], "scaling": None},
    "generation": {
        "limits": [
            {"limit": "slots", "replicas": 1, "why": "4 of 4 slots", "setting": "more slots"},
            {"limit": "replicas", "replicas": 1, "why": "3 needed", "setting": "max_replicas"},
        ],
        "scaling": {"needed": 3, "why": "they would fill 2.4"},
    },
}


def graph(path: str, key: str | None, port: int) -> tuple[int, Any]:
    """The dashboard of a graph and its front, which is at ``port``, in one."""
    if path.startswith("/api/serve/applications"):
        deployments = {
            "Embeddings": {
                "status": "UPDATING",
                "target_num_replicas": 2,
                "replicas": [{"state": "RUNNING"}, {"state": "STARTING"}],
            }
        }
        application = {"status": "RUNNING", "route_prefix": "/", "deployments": deployments}
        front = {"host": "127.0.0.1", "port": port}
        return 200, {"http_options": front, "applications": {"prsm": application}}
    if key != f"Bearer {KEY}":
        return 401, {}
    if path == PERFORMANCE:
        return 200, {"binding_limits": BINDING}
    replicas = [live("a", 6), live("b", 8, "user_config.max_batch_size: no")]
    model = {"name": "m", "family": "embeddings", "live_limits": replicas}
    other = {"name": "w", "family": "generation", "live_limits": []}
    return 200, {"models": [model, {**model, "name": "n"}, other]}


@pytest.fixture
def port() -> Iterator[int]:
    ports: list[int] = []  # the dashboard has to say where it is itself
    with answering(lambda path, key: graph(path, key, ports[0])) as port:
        ports.append(port)
        yield port


def status(port: int, *options: str) -> Result:
    arguments = ["status", "--address", f"127.0.0.1:{port}", *options]
    return CliRunner(env={"COLUMNS": "240"}).invoke(main, arguments)


def test_status_shows_stage_deployments_and_limits_in_force_and_refused(
    port: int,
) -> None:
    result = status(port, "--api-key", KEY)
    assert result.exit_code == 1  # not healthy yet
    lines = result.stdout.splitlines()
    assert lines[1] == "deploying: 0 of 1 deployments are healthy"
    assert "1 starting" in result.stdout
    (first,) = [line for line in lines if "max_batch_size 6" in line]
    assert "max_forward_ms 100" in first
    assert first.rstrip(" │").endswith("–")
    (second,) = [line for line in lines if "max_batch_size 8" in line]
    assert "user_config.max_batch_size: no" in second


def test_its_json_has_the_same_content(port: int) -> None:
    told = json.loads(status(port, "--json", "--api-key", KEY).stdout)
    assert told["stage"] == "deploying: 0 of 1 deployments are healthy"
    assert told["healthy"] is False
    assert told["limits_unknown"] is None
    assert [(each["replica"], each["refused"]) for each in told["limits"]] == [
        ("a", []),
        ("b", ["user_config.max_batch_size: no"]),
    ]


def test_status_shows_what_binds_each_family_and_what_to_turn(port: int) -> None:
    lines = status(port, "--api-key", KEY).stdout.splitlines()
    (idle,) = [line for line in lines if "it has time left" in line]
    assert "embeddings" in idle
    assert "nothing" in idle
    (slots,) = [line for line in lines if "more slots" in line]
    for told in ("generation", "slots", "4 of 4 slots", "3 replicas: they would fill 2.4"):
        assert told in slots
    told = json.loads(status(port, "--json", "--api-key", KEY).stdout)["binding_limits"]
    assert [(each["family"], each["limit"]) for each in told] == [
        ("embeddings", None),
        ("generation", "slots"),
        ("generation", "replicas"),
    ]


def test_a_graph_without_requests_has_no_binding_limits_yet() -> None:
    with answering(lambda path, key: (200, {"message": "No metrics available"})) as port:
        assert binding_limits(f"http://127.0.0.1:{port}", None) == []


def test_status_says_that_a_graph_wants_a_key(port: int) -> None:
    result = status(port)
    assert "live limits: not known, the graph wants a key: --api-key or PRSM_API_KEY" in (
        result.stdout
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {"models": [{"family": "a"}]}), "another version"),
        ((200, b"<html>"), "another version"),
        ((404, {}), "another graph"),
        ((503, {}), "the graph answered 503"),
        ((403, {}), "wants a key"),
    ],
)
def test_why_limits_are_not_known_is_one_line(answer: tuple[int, Any], told: str) -> None:
    with answering(lambda path, key: answer if path == MODELS else (500, {})) as port:
        with pytest.raises(LimitsUnknownError, match=told) as caught:
            limits_in_force(f"http://127.0.0.1:{port}", None)
        assert "\n" not in str(caught.value)


def test_status_says_that_a_graph_does_not_answer() -> None:
    with answering(lambda path, key: (200, {})) as port:
        pass
    with pytest.raises(LimitsUnknownError, match="does not answer"):
        limits_in_force(f"http://127.0.0.1:{port}", None)
