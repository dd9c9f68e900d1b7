"""A client's session reaches the request of every route that generates text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.seam.generation import GenerationRequest
from tests.serve_app import house
from tests.serve_app.house import NATIVE, generated
from tests.serve_app.local_handle import Family
from tests.serve_app.test_stream_surfaces import TEXTS

BODIES: dict[str, dict[str, Any]] = {
    **{
        path: {**body, "stream": False}
        for path, body in TEXTS.items()
        if not path.endswith("stream")  # those that only stream have no such field
    },
    f"{NATIVE}/query": {"prompt": "Hi", "user_id": "ada"},
    f"{NATIVE}/conversations": {"user_id": "ada", "initial_message": "Hi"},
    "/mcp": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": {"prompt": "Hi"}},
    },
    f"{NATIVE}/graph": {
        "steps": [{"id": "a", "task": "generate", "inputs": {"prompt": "Hi"}}],
        "outputs": ["a"],
    },
}


async def session(folder: Path, path: str, **headers: str) -> str:
    """The session of the request that the model side gets."""
    family = Family(generated("a"))
    application = house.app({"generation": family}, hf_cache_dir=str(folder))
    try:
        answer = await house.post(application, path, BODIES[path], **headers)
    finally:
        await application.state.conversations.close()
    assert answer.status_code == 200, answer.text
    (request,) = family.asked
    assert isinstance(request, GenerationRequest)
    return request.session


@pytest.mark.parametrize("path", BODIES)
async def test_the_session_of_the_header_is_the_requests(path: str, tmp_path: Path) -> None:
    assert await session(tmp_path, path, **{"x-session-id": "s-1"}) == "s-1"


@pytest.mark.parametrize("path", [path for path in BODIES if "/conversations" not in path])
async def test_without_one_the_prompt_decides(path: str, tmp_path: Path) -> None:
    assert await session(tmp_path, path) == ""


async def test_the_messages_of_one_conversation_are_a_session(tmp_path: Path) -> None:
    begun, say = f"{NATIVE}/conversations", f"{NATIVE}/conversations/ada/messages"
    first = await session(tmp_path, begun)
    assert first
    assert await session(tmp_path, say) == first
    assert await session(tmp_path, say, authorization="Bearer sk-other") not in {first, ""}
