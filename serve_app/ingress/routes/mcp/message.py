"""The body of ``POST /mcp``: one message of JSON-RPC, whose size is bounded."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, StringConstraints, Tag

from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.pipeline.budget import byte_size
from serve_app.ingress.validation.fields import TEXT, Body, example

CALL = "tools/call"
ARGUMENTS = "arguments"
MAX_PARAMS = 64 * 1024
"""Bytes of a message beside a tool's arguments. Validating them makes an error for each bad item,
while a task's own body stops at the first."""

MessageId: TypeAlias = Annotated[
    Annotated[str, StringConstraints(max_length=256), TEXT]
    | Annotated[int, Field(ge=-(2**63), le=2**63 - 1), Tag("int[]")],
    Discriminator(lambda given: "int[]" if isinstance(given, int) else TEXT.tag),
]
Method: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class McpRequest(Body):
    """A request of JSON-RPC 2.0. ``params`` are those that MCP has for the ``method``."""

    model_config = example(
        jsonrpc="2.0",
        id=1,
        method=CALL,
        params={"name": "classify", "arguments": {"texts": "my new favourite album"}},
    )

    jsonrpc: Literal["2.0"]
    id: MessageId
    method: Method
    params: dict[str, Any] | None = None


class McpNotification(Body):
    """A message without an ``id``, which gets no answer."""

    model_config = example(jsonrpc="2.0", method="notifications/initialized")

    jsonrpc: Literal["2.0"]
    method: Method
    params: dict[str, Any] | None = None


def _kind(given: Any) -> str:
    return "notification[]" if isinstance(given, dict) and "id" not in given else "request[]"


McpMessage: TypeAlias = Annotated[
    Annotated[McpRequest, Tag("request[]")] | Annotated[McpNotification, Tag("notification[]")],
    Discriminator(_kind),
]


def check_size(message: McpRequest | McpNotification) -> None:
    """Refuse a message that has too much beside a tool's arguments."""
    params = message.params or {}
    if message.method == CALL:
        params = {name: value for name, value in params.items() if name != ARGUMENTS}
    if byte_size(params, MAX_PARAMS) > MAX_PARAMS:
        what = f"params has more than {MAX_PARAMS} bytes beside a tool's arguments."
        raise ValidationFailed(what, field="params")
