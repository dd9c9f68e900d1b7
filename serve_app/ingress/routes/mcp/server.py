"""The MCP server of an application: it lists the tools, and calls a task for each tool's call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

import orjson
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from pydantic import ValidationError
from starlette.requests import Request

from serve_app.ingress.errors import (
    MAX_NAME_LENGTH,
    InternalError,
    NotFound,
    PayloadTooLarge,
    ServiceError,
    invalid_fields,
)
from serve_app.ingress.pipeline.budget import MAX_VALUES, value_count
from serve_app.ingress.routes.context import RequestContext, request_context, services_of
from serve_app.ingress.routes.mcp.images import moved_to_content
from serve_app.ingress.routes.mcp.tools import RESULT, Tools, as_arguments
from serve_app.ingress.routes.native_router import NativeTask
from serve_app.ingress.validation.field_errors import field_errors

logger = logging.getLogger(__name__)

McpContext: TypeAlias = ServerRequestContext[Any, Request]

INSTRUCTIONS = (
    "Each tool is a task of Hugging Face models on this server, and its answer is JSON. A text "
    "alone gets one answer, a list of texts a list of answers under `result`. `model_name` chooses "
    "the model; its description names those there are."
)


class McpServer:
    """Answers MCP's requests with the application's ``tasks``.

    It keeps no sessions. The context of each message has the HTTP request that carried it; why a
    call failed is left in that request's state, for metering.
    """

    def __init__(self, tasks: Mapping[str, NativeTask], *, image_urls: bool = False) -> None:
        self._tasks = tasks
        self._tools = Tools(tasks, image_urls=image_urls)
        self.protocol: Server[Any] = Server(
            "prsm-serve",
            version=version("prsm-serve"),
            title="Hugging Face models",
            instructions=INSTRUCTIONS,
            get_tool_input_schema=lambda name: None,  # no argument travels in a header
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self.protocol.middleware.append(_named)

    async def _list_tools(
        self, context: McpContext, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "cursor: all tools are in the first answer")
        assert context.request is not None
        services = await services_of(context.request)
        return ListToolsResult(tools=self._tools.listed(await services.catalog.refresh()))

    async def _call_tool(
        self, context: McpContext, params: CallToolRequestParams
    ) -> CallToolResult:
        """What goes wrong within a task is a result that says so, which a language model reads."""
        assert context.request is not None
        task = self._tasks.get(params.name)
        if task is None:
            message = f"Unknown tool: {params.name[:MAX_NAME_LENGTH]!r}"
            note_failure(context.request, NotFound(message))
            raise MCPError(INVALID_PARAMS, message)
        own = await request_context(context.request)
        try:
            return await _answered(task, params.arguments or {}, context.request, own)
        except ServiceError as error:
            return _failed(error, context.request, own)
        except Exception:
            logger.exception("request %s: the tool %s failed", own.request_id, task.name)
            return _failed(InternalError(), context.request, own)


def note_failure(request: Request, error: ServiceError) -> None:
    request.state.tool_failure = error


def failure_of(request: Request) -> ServiceError | None:
    """Why the tool's call of a request failed, if it did."""
    failure: ServiceError | None = getattr(request.state, "tool_failure", None)
    return failure


async def _answered(
    task: NativeTask, arguments: Mapping[str, Any], request: Request, own: RequestContext
) -> CallToolResult:
    """Raises :class:`ServiceError` as the task does, and for arguments that do not fit."""
    try:
        body = task.body.model_validate(as_arguments(arguments))
    except ValidationError as error:
        raise _invalid(error) from None
    result = await task.function(body, await services_of(request), own)
    if value_count(result.body, MAX_VALUES) > MAX_VALUES:
        raise PayloadTooLarge(
            f"The answer has more than {MAX_VALUES:,} values, too many for a tool: send less at "
            "once, or send it to the task's own route."
        )
    answer = result.body if isinstance(result.body, dict) else {RESULT: result.body}
    images = list[ImageContent]()
    if task.images is not None:
        answer, images = moved_to_content(answer, task.images)
    text = orjson.dumps(own.complete(answer, result.model), option=orjson.OPT_SERIALIZE_NUMPY)
    return CallToolResult(
        content=[TextContent(text=text.decode()), *images],
        structured_content=orjson.loads(text),
    )


def _failed(error: ServiceError, request: Request, own: RequestContext) -> CallToolResult:
    """A result of MCP's that is an error: its text, and the native API's name of its kind."""
    note_failure(request, error)
    seconds = error.headers.get("Retry-After")
    again = f" Try again in {seconds} s." if seconds else ""
    about = {"error_type": error.error_type, "request_id": own.request_id}
    text = TextContent(text=error.named + again)
    return CallToolResult(content=[text], is_error=True, _meta=about)


async def _named(ctx: McpContext, call_next: CallNext) -> HandlerResult:
    """Middleware of the protocol's server: errors name the parameter at fault, and tell nothing of
    what goes on inside."""
    try:
        return await call_next(ctx)
    except MCPError:
        raise
    except ValidationError as error:
        raise MCPError(INVALID_PARAMS, _invalid(error).message) from None
    except ServiceError as error:
        raise MCPError(INTERNAL_ERROR, error.named) from None
    except Exception:
        logger.exception("%s of MCP failed", ctx.method)
        raise MCPError(INTERNAL_ERROR, InternalError().message) from None


def _invalid(error: ValidationError) -> ServiceError:
    items = error.errors(include_url=False)
    return invalid_fields(field_errors({**item, "loc": ("body", *item["loc"])} for item in items))
