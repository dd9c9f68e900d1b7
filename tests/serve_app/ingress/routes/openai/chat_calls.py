"""Chats over HTTP, and the request that reaches the family."""

from __future__ import annotations

from typing import Any

import httpx

from deployments.seam.generation import GenerationRequest
from tests.serve_app import house
from tests.serve_app.house import burst, generated
from tests.serve_app.local_handle import Family

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"generation": family})
    return await house.post(application, PATH, {"messages": MESSAGES, **body})


async def reaching(**body: Any) -> GenerationRequest:
    """The request that reaches the family."""
    family = Family([burst("a", finish="stop")] if body.get("stream") else generated("a"))
    response = await posted(family, **body)
    assert response.status_code == 200, response.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request
