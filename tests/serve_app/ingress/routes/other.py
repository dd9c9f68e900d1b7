"""Requests to the routes of other servers, at the root of a graph of one fake family."""

from __future__ import annotations

from typing import Any

import httpx

from tests.serve_app.ingress.routes.huggingface import hub
from tests.serve_app.local_handle import Family


async def sent(family: Family, tasks: str, path: str, body: Any, **more: Any) -> httpx.Response:
    """The response of a model of ``tasks`` to a body at a path of the root."""
    async with hub.client(family, *tasks.split(), **more) as client:
        return await client.post(f"http://house{path}", json=body)


async def post(family: Family, tasks: str, path: str, body: Any, **more: Any) -> Any:
    """What it answers; a refusal is an error of the test."""
    response = await sent(family, tasks, path, body, **more)
    assert response.status_code == 200, response.text
    return response.json()
