"""The application as a whole: what every route gets from it."""

from __future__ import annotations

import gc
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from configs.profile import Profile
from serve_app.ingress.app import create_app, routers_of
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import FOREVER, Family

SECRET = "postgres://user:password@inside"
ORIGIN = "https://a.example"


def test_each_router_that_families_name_is_taken_once() -> None:
    content = house.profile().model_dump(mode="json")
    content["families"][1]["routers"] += content["families"][0]["routers"]
    routers = routers_of(Profile.model_validate(content))
    assert len(routers) == len({id(router) for router in routers}) == 8


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/", "/health", "/v1/models"])
async def test_what_every_graph_has_is_there_without_any_family(path: str) -> None:
    application = create_app(house.services({}), [])
    assert (await house.get(application, path)).status_code == 200


async def test_a_family_that_is_not_served_has_no_routes() -> None:
    application = create_app(house.services({}), [])
    response = await house.post(application, f"{NATIVE}/generate", {"prompt": "Hi"})
    assert response.status_code == 404
    assert response.json()["error_type"] == "not_found_error"


async def test_a_path_that_is_not_there_is_a_404_in_its_surfaces_envelope() -> None:
    assert (await house.get(house.app(), "/nothing")).json()["error_type"] == "not_found_error"
    assert (await house.get(house.app(), "/v1/nothing")).json()["error"]["code"] == "not_found"


def breaking(path: str) -> APIRouter:
    router = APIRouter()

    @router.get(path)
    async def breaks() -> None:
        raise RuntimeError(SECRET)

    return router


async def broken(path: str) -> httpx.Response:
    application = create_app(house.services({}), [breaking(path)])
    return await house.get(application, path, **{"x-request-id": "abc"})


async def test_a_failure_in_a_native_route_is_a_500_without_internals() -> None:
    response = await broken("/api/v1/huggingface/breaks")
    assert response.status_code == 500
    assert response.json()["error_type"] == "internal_error"
    assert response.json()["request_id"] == response.headers["x-request-id"] == "abc"
    assert SECRET not in response.text


async def test_a_failure_in_an_openai_route_is_a_500_without_internals() -> None:
    response = await broken("/v1/breaks")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{NATIVE}/generate", {"prompt": "Hi"}),
        (f"{NATIVE}/generate/stream", {"prompt": "Hi"}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
)
async def test_an_answer_that_never_comes_is_a_504(path: str, body: dict[str, Any]) -> None:
    streams = path.endswith("/stream")
    family = Family([FOREVER] if streams else FOREVER)
    application = house.app({"generation": family}, request_timeout_s=0.01)
    response = await house.post(application, path, body)
    assert response.status_code == 504
    kind = response.json().get("error_type") or response.json()["error"]["code"]
    assert kind == "timeout"


async def test_no_other_origin_may_read_answers_unless_configured() -> None:
    response = await house.get(house.app(), "/health/liveness", origin=ORIGIN)
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_configured_origin_may_read_answers_and_another_may_not() -> None:
    application = house.app(cors_origins=[ORIGIN])
    allowed = await house.get(application, "/health/liveness", origin=ORIGIN)
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    exposed = set(allowed.headers["access-control-expose-headers"].split(", "))
    assert exposed >= {"x-request-id", "x-model", "x-execution-time", "server-timing"}
    assert "retry-after" in exposed
    other = await house.get(application, "/health/liveness", origin="https://b.example")
    assert "access-control-allow-origin" not in other.headers


async def test_the_body_limit_is_the_settings() -> None:
    application = house.app(max_body_bytes=50)
    response = await house.post(application, f"{NATIVE}/generate", {"prompt": "x" * 50})
    assert response.status_code == 413


async def test_under_serve_the_request_id_is_left_to_serve() -> None:
    application = create_app(house.services({}), [], under_serve=True)
    assert "x-request-id" not in (await house.get(application, "/health/liveness")).headers
    assert "x-request-id" in (await house.get(house.app(), "/health/liveness")).headers


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{NATIVE}/embeddings", "error_type"),
        ("/v1/embeddings", "error"),
        ("/models/house/vectors", "error"),
    ],
)
async def test_an_encoded_body_is_refused_on_every_surface(path: str, said: str) -> None:
    response = await house.post(house.app(), path, {"texts": "a"}, **{"content-encoding": "gzip"})
    assert response.status_code == 415
    assert said in response.json()
    assert "Content-Encoding" in response.text


async def test_the_garbage_collector_leaves_the_application_alone() -> None:
    application = house.app()
    gc.unfreeze()
    try:
        async with application.router.lifespan_context(application):
            assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
