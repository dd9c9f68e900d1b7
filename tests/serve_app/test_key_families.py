"""A key that is bound to families gets no further, whatever API it calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.engine import make_url

from serve_app.ingress.keys.records import KeyTerms
from serve_app.ingress.keys.store import KeyStore
from serve_app.ingress.keys.tables import LAYOUT
from serve_app.ingress.sql.database import Database
from tests.serve_app import house
from tests.serve_app.bodies import places
from tests.serve_app.embedded import Busy, application, routers
from tests.serve_app.house import NATIVE

FAMILIES = ("generation", "embeddings", "classification")
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
BOTH = frozenset({"inference", "admin"})


class Keyed:
    """An application, and keys for families of it."""

    def __init__(self, app: FastAPI, store: KeyStore) -> None:
        self.app = app
        self._store = store

    async def key(self, *families: str) -> str:
        return await self._store.create(
            "-".join(families) or "all", KeyTerms(BOTH, frozenset(families))
        )

    async def send(self, key: str, path: str, body: Any, method: str = "POST") -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
            headers = {"x-api-key": key, "content-type": "application/json"}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.request(method, path, content=content, headers=headers)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take seconds to open a database, for which a request does not wait."""
    monkeypatch.setattr("serve_app.ingress.keys.stored_keys.WAIT_S", 30.0)
    monkeypatch.setattr("serve_app.ingress.keys.stored_keys.MAX_UNKNOWN_S", 30.0)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/keys.sqlite3"


@pytest.fixture
async def store(url: str) -> AsyncIterator[KeyStore]:
    made = KeyStore(Database(make_url(url), LAYOUT))
    yield made
    await made.close()


@pytest.fixture
async def everything(tmp_path: Path, url: str, store: KeyStore) -> AsyncIterator[Keyed]:
    """The embedded application."""
    async with application(tmp_path, keys_url=url) as app:
        yield Keyed(app, store)
        await app.state.policy.keys.close()


@pytest.fixture
async def keyed(url: str, store: KeyStore) -> AsyncIterator[Keyed]:
    """A small application whose families are busy."""
    app = house.app({name: Busy() for name in FAMILIES}, keys_url=url)  # type: ignore[misc]
    yield Keyed(app, store)
    await app.state.policy.keys.close()


async def test_no_route_lets_a_key_reach_another_family(everything: Keyed) -> None:
    """Families say that they are busy whenever they are reached."""
    key, app = await everything.key("none-of-these"), everything.app
    refused = set[str]()
    for place in places(app.openapi(), routers(), app.state.services.catalog):
        if place.name and not place.name.startswith("steps."):
            continue  # within a body that is tried as a whole
        body = place.filled(json.dumps(place.sample).encode())
        response = await everything.send(key, place.route, body)
        assert "busy" not in response.text, place
        if "it is bound to: none-of-these" in response.text:
            assert response.status_code == (200 if place.name else 403), place
            refused.add(place.name or place.route)
    assert len(refused) > 40


async def test_a_family_that_is_allowed_is_reached_and_another_is_not(keyed: Keyed) -> None:
    key = await keyed.key("embeddings")
    allowed = await keyed.send(key, "/v1/embeddings", {"input": "a", "model": "house/vectors"})
    refused = await keyed.send(key, "/v1/chat/completions", CHAT)
    assert allowed.status_code == 429
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "insufficient_permissions"


async def test_each_step_of_a_graph_is_a_matter_of_its_own(keyed: Keyed) -> None:
    key = await keyed.key("embeddings")
    steps = [
        {"id": "mood", "task": "classify", "inputs": {"texts": "a"}},
        {"id": "vector", "task": "embeddings", "inputs": {"texts": "a"}},
    ]
    answer = (await keyed.send(key, f"{NATIVE}/graph", {"steps": steps})).json()
    kinds = {step["id"]: step["error"]["error_type"] for step in answer["steps"]}
    assert kinds == {"mood": "authorization_error", "vector": "rate_limit_error"}


async def test_a_tool_of_another_family_is_refused(keyed: Keyed) -> None:
    key = await keyed.key("embeddings")
    call = {"name": "classify", "arguments": {"texts": "a"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    result = (await keyed.send(key, "/mcp", body)).json()["result"]
    assert result["isError"]
    assert result["_meta"]["error_type"] == "authorization_error"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_models_of_another_family_are_not_loaded_nor_unloaded(
    keyed: Keyed, method: str
) -> None:
    key = await keyed.key("embeddings")
    cards = keyed.app.state.services.catalog.cards
    other = next(card for card in cards if card.family == "classification")
    response = await keyed.send(key, f"{NATIVE}/models/{other.name}", b"", method)
    assert response.status_code == 403
    assert response.json()["error_type"] == "authorization_error"
