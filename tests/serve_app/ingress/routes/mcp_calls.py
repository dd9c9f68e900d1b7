"""Tools called with MCP's own client, and message by message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import numpy as np
from fastapi import FastAPI
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Tool

from deployments.seam.embeddings import ClusterResult
from tests.serve_app import house
from tests.serve_app.every_task import EveryTask

ERAS = ("legacy", "auto")
"""Clients that begin with a handshake, and those that need none."""


class EveryTool(EveryTask):
    async def cluster(self, request: Any) -> ClusterResult:
        self.requests.append(request)
        count = len(request.embedding.texts)
        return ClusterResult((0,) * count, np.full((1, 2), 0.5, np.float32))


@asynccontextmanager
async def connected(app: FastAPI, era: str = "auto") -> AsyncIterator[Client]:
    opened = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
    async with (
        opened,
        Client(streamable_http_client("http://a/mcp", http_client=opened), mode=era) as client,
    ):
        yield client


async def listed(app: FastAPI) -> dict[str, Tool]:
    async with connected(app) as client:
        return {tool.name: tool for tool in (await client.list_tools()).tools}


async def sent(app: FastAPI, method: str, **params: Any) -> Any:
    """The whole answer to one request."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    response = await house.post(app, "/mcp", body)
    assert response.headers["content-type"] == "application/json"
    return response.json()


async def call(app: FastAPI, tool: str, **arguments: Any) -> Any:
    return (await sent(app, "tools/call", name=tool, arguments=arguments))["result"]
