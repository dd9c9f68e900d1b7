"""A stub of a server, running in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from tests.serve_app.load.stub import Stub


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A running stub; its gate is open."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stub = Stub(f"http://127.0.0.1:{listening.getsockname()[1]}")
        stub.gate.set()
        routes = [
            Route("/v1/models", stub.list_models),
            Route("/v1/{path:path}", stub.answer, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        # uvicorn's own signal handlers would take Ctrl-C from pytest.
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield stub
        stub.gate.set()
        server.should_exit = True
        await serving
