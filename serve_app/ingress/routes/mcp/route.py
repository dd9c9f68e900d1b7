"""``POST /mcp``: MCP over streamable HTTP, without sessions, answered in JSON."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import Body, Request
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Message

from serve_app.ingress.front.access import AllowedHosts
from serve_app.ingress.front.front import FrontPolicy
from serve_app.ingress.metering.middleware import record_of
from serve_app.ingress.routes.inference_router import InferenceRouter
from serve_app.ingress.routes.mcp.errors import ERRORS
from serve_app.ingress.routes.mcp.message import CALL, McpMessage, check_size
from serve_app.ingress.routes.mcp.server import McpServer, failure_of
from serve_app.ingress.streams import FailureChunk

router = InferenceRouter(prefix="", tags=["mcp"], responses=ERRORS)

ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"description": "The notification was taken."}}
NEGOTIATED = frozenset({b"accept", b"content-type"})


class McpResponse(BaseModel):
    """JSON-RPC's response: a ``result``, or an ``error``."""

    jsonrpc: Literal["2.0"]
    id: int | str
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@router.inference(
    "/mcp", "mcp", summary="MCP: the tasks as tools", response_model=McpResponse, responses=ACCEPTED
)
async def mcp(message: Annotated[McpMessage, Body()], request: Request) -> Response:
    """One message of the Model Context Protocol: `initialize`, `ping`, `tools/list`, `tools/call`.

    Each task that a step of a graph may name is a tool, with the body of its native route as
    arguments. A call is answered whole. There are no sessions, so there is no GET and no DELETE.
    """
    check_origin(request)
    check_size(message)
    record = record_of(request.scope)
    if message.method != CALL and record is not None:
        record.discarded = True
    server: McpServer = request.app.state.mcp
    return await _exchange(server, request)


def check_origin(request: Request) -> None:
    """Refuse what a foreign web page sends, as MCP demands, where the front does not.

    The front checks every request to a service that listens on this machine alone, or has a list
    of hosts. Any other accepts here the sites to which it answers (setting ``cors_origins``).
    """
    policy: FrontPolicy = request.app.state.policy
    hosts = policy.hosts or AllowedHosts((), policy.settings.cors_origins)
    hosts.check(request.method, b"", request.headers.get("origin", "").encode("latin-1"))


async def _exchange(server: McpServer, request: Request) -> Response:
    """The answer of MCP's own transport, which is made for this one request.

    The answer is JSON whatever the client accepts, as on every other route.
    """
    pending = [await request.body()]
    sent: list[Message] = []

    async def receive() -> Message:
        if not pending:  # Serve cancels the request's task when the client leaves
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pending.pop(), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [each for each in request.scope["headers"] if each[0] not in NEGOTIATED]
    headers += [(name, b"application/json") for name in sorted(NEGOTIATED)]
    transport = StreamableHTTPSessionManager(
        server.protocol,
        json_response=True,
        stateless=True,
        max_request_body_size=max(1, len(pending[0])),  # the front has bounded it
    )
    async with transport.run():
        await transport.handle_request({**request.scope, "headers": headers}, receive, send)
    return _response(sent, request)


def _response(sent: list[Message], request: Request) -> Response:
    start, *parts = sent
    content = b"".join(part.get("body", b"") for part in parts)
    if failure := failure_of(request):
        content = FailureChunk.of(content, failure)
    response = Response(content, start["status"])
    response.raw_headers = start["headers"]
    return response
