"""What an application has counted, and applications that answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tests.deployments.metrics.reading import Figures, figures
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import Family

GENERATE, STREAM, CLASSIFY = f"{NATIVE}/generate", f"{NATIVE}/generate/stream", f"{NATIVE}/classify"
CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}


async def counted(application: FastAPI) -> Figures:
    response = await house.get(application, "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return figures(response.text)


def requests(found: Figures) -> dict[tuple[str, ...], float]:
    """Requests by model, task and status."""
    return {key[1:]: value for key, value in found.items() if key[0] == "requests_total"}


def answering(*answers: Any) -> FastAPI:
    return house.app({"generation": Family(*answers)})
