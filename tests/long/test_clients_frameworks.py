"""LlamaIndex, Haystack, LiteLLM, instructor and Cohere's client against the running graph."""

from __future__ import annotations

from tests.long.client_environment import run_tests


def test_frameworks(base_url: str) -> None:
    run_tests("frameworks", base_url)
