"""Chats with tools, the request that reaches the model, and what a chat answers."""

from __future__ import annotations

from typing import Any

import httpx

from deployments.seam.generation import GenerationRequest, GenerationResult
from tests.serve_app import house
from tests.serve_app.house import FULL, generated
from tests.serve_app.local_handle import Family

PATH = "/v1/chat/completions"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": "Is it raining in Oslo?"}]


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"generation": family})
    asked = {"model": FULL, "messages": MESSAGES, "tools": [WEATHER, NOW], **body}
    return await house.post(application, PATH, asked)


async def reaching(**body: Any) -> GenerationRequest:
    family = Family(generated("a"))
    response = await posted(family, **body)
    assert response.status_code == 200, response.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request


async def answer(text: GenerationResult, **body: Any) -> dict[str, Any]:
    response = await posted(Family(text), **body)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice
