"""OpenAI's own client of an application, and what it asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
from pydantic import BaseModel

from tests.serve_app import house
from tests.serve_app.local_handle import Family

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


class Person(BaseModel):
    name: str


@asynccontextmanager
async def client_of(family: Family) -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(house.app({"generation": family}))
    opened: Any = httpx.AsyncClient(transport=transport)
    async with (
        opened as http,
        openai.AsyncOpenAI(
            api_key="none", base_url="http://house/v1", http_client=http, max_retries=0
        ) as client,
    ):
        yield client
