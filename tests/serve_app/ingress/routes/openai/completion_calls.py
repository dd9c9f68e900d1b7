"""Calls for completions, and the requests that reach the family."""

from __future__ import annotations

from typing import Any

import httpx

from deployments.seam.generation import GenerationRequest, TokenLogprob
from tests.serve_app import house
from tests.serve_app.house import burst, generated
from tests.serve_app.local_handle import Family

PATH = "/v1/completions"
LOGPROBS = (
    TokenLogprob("ab", -0.5, b"ab", (("x", -1.0, b"x"),)),
    TokenLogprob("c", -0.25, b"c"),
)


async def posted(family: Family, **body: Any) -> httpx.Response:
    application = house.app({"generation": family})
    return await house.post(application, PATH, {"prompt": "Hi", **body})


async def reaching(**body: Any) -> list[GenerationRequest]:
    """The requests that reach the family."""
    whole: list[Any] = [[burst("a", finish="stop")]] if body.get("stream") else [generated("a")] * 3
    family = Family(*whole)
    response = await posted(family, **body)
    assert response.status_code == 200, response.text
    return family.asked
