"""A small graph without Ray: its profile, its application over fake families, its clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from configs.profile import Profile
from configs.settings import Settings
from deployments.seam.generation import (
    FinishReason,
    GeneratedSequence,
    GenerationResult,
    Token,
    TokenChunk,
)
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.cluster.readiness import GraphState, Readiness
from serve_app.ingress.routes.context import NATIVE_PREFIX, Services
from tests.serve_app.local_handle import Family, LocalHandle

NATIVE = NATIVE_PREFIX
FAST, FULL = "house/fast", "house/full"
WINDOW = 1000
SOURCE = {"folder": "/models"}


def profile() -> Profile:
    """Two text generators, of which only the second can do everything, and two encoders."""
    texts = {"tasks": ["generate", "chat"], "window": WINDOW, "source": SOURCE}
    encoder = {"source": SOURCE, "pinned": True, "max_tokens": 64}
    fast = {"name": FAST, "aliases": ["fast"], "engine": "openvino", "pinned": True, **texts}
    full = {"name": FULL, "engine": "torch", "tool_calls": "hermes", **texts}
    full["reads_images"] = True
    families = {
        "generation": [
            "generation",
            "query",
            "conversations",
            "openai.chat",
            "openai.completions",
        ],
        "embeddings": ["embeddings", "openai.embeddings"],
        "classification": ["classification"],
    }
    models: dict[str, list[Any]] = {
        "generation": [fast, full],
        "embeddings": [{"name": "house/vectors", "tasks": ["embed"], **encoder}],
        "classification": [{"name": "house/mood", "tasks": ["sentiment"], **encoder}],
    }
    return Profile.model_validate(
        {
            "name": "house",
            "families": [
                {
                    "name": name,
                    "deployment": f"deployments.{name}:{name.capitalize()}",
                    "routers": [f"serve_app.ingress.routes.{router}:router" for router in routers],
                    "models": models[name],
                }
                for name, routers in families.items()
            ],
        }
    )


class Ready:
    """A graph that is ready, or whose deployments are in the states given.

    With ``failures`` it is one that answers, apart from these deployments.
    """

    def __init__(self, failures: Mapping[str, str] | None = None, **deployments: str) -> None:
        ready = not deployments or failures is not None
        self._state = GraphState(ready, deployments, failures=dict(failures or {}))

    async def state(self) -> GraphState:
        return self._state


def services(
    families: Mapping[str, Family],
    readiness: Readiness | None = None,
    parallel: Mapping[str, int] | None = None,
    **settings: Any,
) -> Services:
    made = Settings(**settings)
    handles = {
        family.name: LocalHandle(families.get(family.name, Family()))
        for family in profile().families
    }
    calls = DeploymentClient(handles, made.request_timeout_s, parallel=parallel or {})
    return Services(Catalog(profile(), made), calls, made, readiness or Ready())


def app(
    families: Mapping[str, Family] | None = None, readiness: Ready | None = None, **settings: Any
) -> FastAPI:
    return create_app(services(families or {}, readiness, **settings), routers_of(profile()))


async def get(application: ASGIApp, path: str, **headers: str) -> httpx.Response:
    async with _client(application) as client:
        return await client.get(path, headers=headers)


async def post(application: ASGIApp, path: str, body: Any, **headers: str) -> httpx.Response:
    async with _client(application) as client:
        return await client.post(path, json=body, headers=headers)


async def post_text(application: ASGIApp, path: str, body: str) -> httpx.Response:
    """A JSON body to the letter."""
    async with _client(application) as client:
        headers = {"content-type": "application/json"}
        return await client.post(path, content=body.encode(), headers=headers)


def _client(application: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application)
    return httpx.AsyncClient(transport=transport, base_url="http://house")


class Connection:
    """One POST at the level of ASGI: what is sent chunk by chunk, and a client that may leave."""

    def __init__(self, application: ASGIApp, path: str, body: Any, **headers: str) -> None:
        self._body = json.dumps(body).encode()
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._given = False
        self.status: int | None = None
        self.left = asyncio.Event()
        self.chunks: list[bytes] = []
        self.first_chunk = asyncio.Event()
        self.done = asyncio.ensure_future(application(self._scope(path), self._receive, self._send))

    def _scope(self, path: str) -> dict[str, Any]:
        headers = [(b"content-type", b"application/json"), *self._headers]
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode()}
        return scope | {"query_string": b"", "headers": headers, "root_path": ""}

    async def _receive(self) -> Message:
        if self._given:
            await self.left.wait()
            return {"type": "http.disconnect"}
        self._given = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        if chunk := message.get("body"):
            self.chunks.append(chunk)
            self.first_chunk.set()


def events(text: str) -> list[tuple[str, Any]]:
    """Name and data of each server-sent event; data that is no JSON stays text."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines() if line[:1] != ":")
        if lines:
            data = lines["data"]
            found.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def burst(
    *texts: str, at: int = 0, finish: FinishReason | None = None, choice: int = 0
) -> TokenChunk:
    """A burst of one token a text; the last carries ``finish``."""
    last = at + len(texts) - 1
    tokens = (
        Token(choice, i, 100 + i, text, finish if i == last else None)
        for i, text in enumerate(texts, at)
    )
    return TokenChunk(3, tuple(tokens))


def generated(*texts: str, finish: FinishReason = "stop") -> GenerationResult:
    return GenerationResult(3, tuple(GeneratedSequence(text, finish, 2) for text in texts))
