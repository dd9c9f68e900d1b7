"""``POST /mcp``: MCP's messages, who may send them, and how they are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from mcp import MCPError

from deployments.seam.problems import Problem
from tests.deployments.metrics.reading import figures
from tests.serve_app import every_task, house
from tests.serve_app.house import FAST, Connection, generated
from tests.serve_app.ingress.routes.mcp_calls import ERAS, EveryTool, call, connected, listed, sent
from tests.serve_app.local_handle import FOREVER, Family, happens


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    made = every_task.application(EveryTool(), hf_cache_dir=tmp_path)
    yield made
    await made.state.conversations.close()


@pytest.mark.parametrize("era", ERAS)
async def test_unknown_tools_and_cursors_are_errors_of_the_protocol(app: FastAPI, era: str) -> None:
    async with connected(app, era) as client:
        with pytest.raises(MCPError, match="Unknown tool: 'no such'") as unknown:
            await client.call_tool("no such", {})
        with pytest.raises(MCPError, match="cursor"):
            await client.list_tools(cursor="a")
    assert unknown.value.code == -32602


async def test_a_handshake_keeps_nothing(app: FastAPI) -> None:
    client = {"name": "a", "version": "1"}
    for version, answered in {"2025-06-18": "2025-06-18", "1999-01-01": "2025-11-25"}.items():
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
        result = (await sent(app, "initialize", **params))["result"]
        assert result["protocolVersion"] == answered
        assert result["serverInfo"]["name"] == "prsm-serve"
        assert "tools" in result["capabilities"]
    body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    response = await house.post(app, "/mcp", body)
    assert (response.status_code, response.content) == (202, b"")
    assert "mcp-session-id" not in response.headers
    assert (await sent(app, "ping"))["result"] == {}


WRONG: list[tuple[str, int, int, str]] = [
    ("{", 400, -32700, "not valid JSON"),
    ("[]", 400, -32600, "expected an object"),
    ('[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600, "expected an object"),
    ('{"jsonrpc": "1.0", "id": 1, "method": "ping"}', 400, -32600, "jsonrpc"),
    ('{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600, "id: "),
    ('{"jsonrpc": "2.0", "id": 1}', 400, -32600, "method"),
    ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "extra": 1}', 400, -32600, "extra"),
    ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32600, "params"),
    ('{"jsonrpc": "2.0", "id": 1, "method": "no/such"}', 200, -32601, "Method not found"),
    ('{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', 200, -32601, "not found"),
    (
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}',
        200,
        -32602,
        "name: this field is required",
    ),
    (
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/call",'
        ' "params": {"name": "classify", "arguments": []}}',
        200,
        -32602,
        "arguments: expected an object",
    ),
]
"""A message, the status and the error's code, and what its text names."""


async def test_wrong_messages_get_json_rpcs_errors(app: FastAPI) -> None:
    for body, status, code, named in WRONG:
        response = await house.post_text(app, "/mcp", body)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert (error["code"], named in error["message"]) == (code, True), error


async def test_much_beside_a_tools_arguments_is_refused(app: FastAPI) -> None:
    texts = {"texts": "a" * 70_000}
    assert (await call(app, "classify", **texts))["structuredContent"]
    large: dict[str, dict[str, Any]] = {
        "initialize": {"clientInfo": {"icons": [[]] * 9000}},
        "tools/call": {"name": "classify", "arguments": texts, "_meta": texts},
        "prompts/get": {"name": "a", "arguments": texts},
    }
    for method, params in large.items():
        answer = await sent(app, method, **params)
        assert answer["error"]["code"] == -32600
        assert "params has more than" in answer["error"]["message"]


async def test_without_sessions_there_is_only_post(app: FastAPI) -> None:
    opened = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://a")
    async with opened:
        for method in ("GET", "DELETE", "PUT"):
            response = await opened.request(method, "/mcp", headers={"accept": "text/event-stream"})
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
            assert response.json()["error"]["data"]["error_type"] == "method_not_allowed"


async def test_the_answer_is_json_whatever_is_accepted(app: FastAPI) -> None:
    body = {"jsonrpc": "2.0", "id": "a", "method": "ping"}
    for accept in ("*/*", "text/html", "text/event-stream"):
        response = await house.post(app, "/mcp", body, accept=accept)
        assert response.json() == {"jsonrpc": "2.0", "id": "a", "result": {}}


async def test_an_unknown_version_is_told_which_are_served(app: FastAPI) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    response = await house.post(app, "/mcp", body, **{"mcp-protocol-version": "2099-01-01"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] in (-32602, -32022)


@pytest.mark.parametrize(
    ("origin", "settings", "status"),
    [
        ("http://evil.example", {}, 403),
        ("http://localhost:3000", {}, 200),
        ("https://app.example", {"cors_origins": ["https://app.example"]}, 200),
        ("https://evil.example", {"cors_origins": ["https://app.example"]}, 403),
        ("https://a.example", {"allowed_hosts": ["a.example", "house"]}, 200),
        ("https://evil.example", {"allowed_hosts": ["a.example", "house"]}, 403),
    ],
)
async def test_a_foreign_page_cannot_call(
    origin: str, settings: dict[str, Any], status: int
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    response = await house.post(house.app(**settings), "/mcp", body, origin=origin)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["data"]["error_type"] == "authorization_error"


async def test_without_its_key_a_message_is_refused_in_json_rpc(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("ada:" + "0" * 64)
    app = house.app(api_keys_file=keys)
    response = await house.post(app, "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["data"]["error_type"] == "authentication_error"


async def test_calls_are_counted_by_their_models_and_nothing_else_is() -> None:
    app = house.app({"generation": Family(generated("a"), Problem("overloaded", "busy"))})
    await listed(app)
    for _ in range(2):
        await call(app, "generate", prompt="Hi")
    await sent(app, "tools/call", name="no such")
    found = figures((await house.get(app, "/metrics")).text)
    assert {key[1:]: value for key, value in found.items() if key[0] == "requests_total"} == {
        (FAST, "generate", "success"): 1,
        (FAST, "generate", "error"): 1,
        ("unknown", "mcp", "error"): 1,
    }
    assert found["rejections_total", "generate", "rate_limit_error"] == 1
    assert found["rejections_total", "mcp", "not_found_error"] == 1
    assert found["tokens_out_total", FAST, "generate"] == 2


async def test_a_client_that_leaves_ends_its_call() -> None:
    family = Family(FOREVER)
    params = {"name": "generate", "arguments": {"prompt": "Hi"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    connection = Connection(house.app({"generation": family}), "/mcp", body)
    await happens(family.began)
    connection.done.cancel()  # as Serve does
    await happens(family.stopped)
    await asyncio.wait([connection.done])
    assert connection.done.cancelled()
