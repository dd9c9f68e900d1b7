"""What the clients' tests share: the graph's URL and the names of the models they ask.

These files run in environments of their own, which have the clients and not this project.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Service:
    """The running graph and the embedded profile's models."""

    url: str
    chat: str = "SmolLM2-135M-Instruct"
    torch: str = "SmolLM2-135M-Instruct-torch"
    """The same weights on the engine that has structured outputs and tools."""
    vectors: str = "all-MiniLM-L6-v2"
    reranker: str = "ms-marco-MiniLM-L12-v2"

    @property
    def openai(self) -> str:
        """The root of OpenAI's API."""
        return f"{self.url}/v1"

    def at(self, model: str) -> str:
        """The URL of one model, as Hugging Face's clients take it."""
        return f"{self.url}/models/{model}"


@pytest.fixture(scope="session")
def service() -> Service:
    return Service(os.environ["PRSM_CLIENTS_URL"])
