"""MCP's own client against the running graph."""

from __future__ import annotations

import numpy as np
import pytest
from mcp import Client


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_client_lists_the_tools_and_calls_them(base_url: str, era: str) -> None:
    async with Client(f"{base_url}/mcp", mode=era) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {"classify", "embeddings", "generate", "caption", "transcribe"} <= tools
        mood = await client.call_tool("classify", {"texts": "my new favourite album"})
        assert mood.structured_content["sentiment"] == "POSITIVE"
        pets = await client.call_tool("embeddings", {"texts": ["a kitten", "a share"]})
        vectors = np.asarray(pets.structured_content["embeddings"])
        assert vectors.shape == (2, 384)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-3)
        wrong = await client.call_tool("classify", {"text": "a"})
        assert wrong.is_error
