"""What holds for every route: its methods, its path to the letter, and no parameter too many."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.serve_app import house
from tests.serve_app.house import FULL, NATIVE, generated
from tests.serve_app.local_handle import Family

CONVERSATION = f"{NATIVE}/conversations/ada"
PARAMETERS = {"{model_id}": FULL, "{name}": FULL, "{user_id}": "ada"}


@pytest.fixture
def application(tmp_path: Any) -> FastAPI:
    return house.app({"generation": Family(generated("a"))}, hf_cache_dir=str(tmp_path))


async def ask(application: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
        response = await client.request(method, path, **more)
        await application.state.conversations.close()
        return response


def gets(application: FastAPI) -> list[str]:
    """The path of every route that answers GET, the documentation's among them."""
    paths = application.openapi()["paths"]
    found = ["/docs", "/redoc", "/openapi.json"]
    for path in (path for path, methods in paths.items() if "get" in methods):
        for name, value in PARAMETERS.items():
            path = path.replace(name, value)
        found.append(path)
    return found


async def test_head_is_get_without_its_body(application: FastAPI) -> None:
    paths = gets(application)
    assert {"/metrics", "/v1/models", f"{NATIVE}/performance", CONVERSATION} < set(paths)
    for path in paths:
        whole = await ask(application, "GET", path)
        head = await ask(application, "HEAD", path)
        assert (whole.status_code, head.status_code) == (200, 200), path
        assert (bool(whole.content), head.content) == (True, b""), path
        assert head.headers["content-type"] == whole.headers["content-type"]


async def test_head_of_what_is_not_there_or_not_got_has_the_status_of_get(
    application: FastAPI,
) -> None:
    assert (await ask(application, "HEAD", "/nothing")).status_code == 404
    refused = await ask(application, "HEAD", f"{NATIVE}/generate")
    assert (refused.status_code, refused.content) == (405, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", f"{NATIVE}/conversations", "GET, HEAD, POST"),
        ("PATCH", CONVERSATION, "DELETE, GET, HEAD"),
        ("PUT", f"{NATIVE}/models/{FULL}", "DELETE, POST"),
        ("GET", f"{NATIVE}/generate", "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
    ],
)
async def test_a_wrong_method_is_told_all_the_right_ones(
    application: FastAPI, method: str, path: str, allowed: str
) -> None:
    response = await ask(application, method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/v1/models/", f"{NATIVE}/generate/", "/health/", "/docs/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_trailing_slash_leads_nowhere_else(
    application: FastAPI, method: str, path: str
) -> None:
    response = await ask(application, method, path, headers={"host": "evil.example"})
    assert response.status_code in {404, 405}
    assert "location" not in response.headers
    assert "evil.example" not in response.text
    assert response.headers["content-type"] == "application/json"


BODIES: dict[str, Any] = {
    f"{NATIVE}/generate": {"prompt": "Hi"},
    f"{NATIVE}/query": {"prompt": "Hi", "user_id": "ada"},
    f"{NATIVE}/embeddings": {"texts": "Hi"},
    f"{NATIVE}/classify": {"texts": "Hi"},
    f"{NATIVE}/conversations": {"user_id": "ada"},
    f"{CONVERSATION}/messages": {"message": "Hi"},
    f"{NATIVE}/graph": {"steps": []},
    f"{NATIVE}/models/{FULL}": None,
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"prompt": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
    f"/models/{FULL}": {"inputs": "Hi"},
    f"/models/{FULL}/pipeline/text-generation": {"inputs": "Hi"},
    f"/models/{FULL}/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.mark.parametrize("path", BODIES)
async def test_a_query_parameter_beside_a_body_is_refused_by_name(path: str) -> None:
    family = Family(generated("a"))
    application = house.app({"generation": family})
    response = await ask(
        application, "POST", path, params={"model_name": "nope"}, json=BODIES[path]
    )
    assert response.status_code == 400, response.text
    assert "model_name" in response.text
    assert family.asked == []


async def test_a_query_parameter_of_an_order_to_unload_is_refused_too(
    application: FastAPI,
) -> None:
    response = await ask(application, "DELETE", f"{NATIVE}/models/{FULL}", params={"force": "true"})
    assert response.status_code == 400
    assert list(response.json()["details"]["field_errors"]) == ["force"]


async def test_many_query_parameters_make_no_long_answer(application: FastAPI) -> None:
    params = {f"{i}" * 300: "x" for i in range(100)}
    response = await ask(application, "POST", "/v1/embeddings", params=params, json={})
    assert response.status_code == 400
    assert len(response.content) < 10_000
