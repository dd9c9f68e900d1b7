"""The front outside Serve's entry: which process gets which, and that it is asked only once."""

from __future__ import annotations

from collections.abc import Awaitable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from ray import serve
from ray.serve._private.http_util import validate_http_proxy_callback_return
from ray.serve.exceptions import RayServeException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.ingress.front import entry
from serve_app.ingress.front.entry import ProxyFront, ReplicaFront, middlewares
from serve_app.ingress.front.front import Front
from serve_app.ingress.routes.dialects import error_answers
from serve_app.launcher.environment import FRONT
from tests.serve_app import house
from tests.serve_app.ingress.front.fronting import NATIVE, asked, echo, fronted

GENERATE = f"{NATIVE}/generate"


class Served:
    """An ingress of this service."""

    def front_of(self, app: ASGIApp) -> Front:
        return fronted(app, allowed_hosts=["served"])


def in_replica_of(monkeypatch: pytest.MonkeyPatch, servable: object) -> None:
    def context() -> Any:
        return SimpleNamespace(servable_object=servable)

    monkeypatch.setattr(serve, "get_replica_context", context)


def test_the_launcher_names_what_serve_can_call() -> None:
    (path,) = FRONT.values()
    module, _, name = path.partition(":")
    assert getattr(import_module(module), name) is middlewares


def test_a_process_that_is_no_replica_gets_the_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RayServeException("not a replica")

    monkeypatch.setattr(serve, "get_replica_context", none)
    (made,) = validate_http_proxy_callback_return(middlewares())
    assert isinstance(made.cls(echo, *made.args, **made.kwargs), ProxyFront)


async def test_a_replica_gets_the_front_of_its_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    in_replica_of(monkeypatch, None)  # Serve calls the hook before it says which replica it is
    (made,) = validate_http_proxy_callback_return(middlewares())
    app = made.cls(echo, *made.args, **made.kwargs)
    assert isinstance(app, ReplicaFront)
    assert (await asked(PassesUnnamed(app), GENERATE)).status_code == 200
    in_replica_of(monkeypatch, Served())
    assert (await asked(app, GENERATE, base="http://served")).status_code == 200
    assert (await asked(app, GENERATE, base="http://other")).status_code == 403


class PassesUnnamed:
    """Gives requests the id that the front would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["state"] = {"request_id": "none"}
        return self._app(scope, receive, send)


def proxy_front(app: ASGIApp) -> ProxyFront:
    return ProxyFront(app, error_answers())


def test_uvicorn_takes_each_for_applications_of_asgi_3() -> None:
    """It guesses by the form of ``__call__``, and calls others as nobody has for years."""
    for app in (ReplicaFront(echo), proxy_front(echo), fronted(echo)):
        config = uvicorn.Config(app, log_config=None)
        config.load()
        assert config.interface == "asgi3"


async def test_another_applications_ingress_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    in_replica_of(monkeypatch, object())
    response = await asked(ReplicaFront(PlainTextResponse("theirs", 503)), GENERATE)
    assert (response.status_code, response.text) == (503, "theirs")


@pytest.mark.parametrize("path", ["/-/healthz", "/-/routes"])
async def test_what_load_balancers_ask_passes_untouched(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    in_replica_of(monkeypatch, Served())
    headers = [("x-request-id", "two words"), ("host", "evil.example")]
    for wrapped in (ReplicaFront, proxy_front):
        front = wrapped(PlainTextResponse("down", 503))
        response = await asked(front, path, method="GET", headers=headers)
        assert (response.status_code, response.text) == (503, "down")
        assert "x-request-id" not in response.headers


async def test_the_application_itself_has_no_such_routes() -> None:
    response = await house.get(house.app(), "/-/healthz")
    assert response.status_code == 404
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_behind_a_front_the_applications_own_lets_everything_pass() -> None:
    """What the inner one would refuse the outer one takes: the outer one is asked, and only it."""
    application = house.app(max_body_bytes=1)
    outer = fronted(application)
    headers = [("content-type", "application/json"), ("x-request-id", "abc")]
    response = await asked(outer, GENERATE, content=b'{"promt": 1}', headers=headers)
    assert response.status_code == 400
    assert response.headers.get_list("x-request-id") == ["abc"]
    alone = await asked(application, GENERATE, content=b'{"promt": 1}', headers=headers)
    assert alone.status_code == 413


async def test_a_proxy_cleans_headers_and_gives_ids() -> None:
    front = proxy_front(PassesUnnamed(echo))
    sent = [("x-request-timeout-seconds", "1"), ("x-session-id", "s"), ("x-request-id", "abc")]
    response = await asked(front, headers=sent)
    found = response.json()["headers"]
    assert "x-request-timeout-seconds" not in found
    assert (found["x-session-id"], found["x-request-id"]) == ("s", "abc")
    assert response.headers.get_list("x-request-id") == ["abc"]


async def test_a_proxy_puts_serves_words_into_the_envelope() -> None:
    said = PlainTextResponse("Request dropped due to backpressure (num_queued_requests=2)", 429)
    response = await asked(proxy_front(said), GENERATE)
    assert (response.status_code, response.json()["error_type"]) == (429, "rate_limit_error")
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize("name", ["x-request-id", "x-session-id"])
async def test_a_proxy_refuses_what_serve_cannot_decode(name: str) -> None:
    response = await asked(proxy_front(echo), GENERATE, headers=[(name, b"\xff")])
    assert response.status_code == 400
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_the_ingress_is_one_that_has_a_front() -> None:
    from serve_app.ingress.app import Ingress

    assert isinstance(Ingress.__new__(Ingress), entry.Fronted)
