"""LangChain's standard suites against the running graph: embeddings, and Hugging Face's chats."""

from __future__ import annotations

from tests.long.client_environment import CLIENTS, run_tests

APART = "test_chat_openai.py"
"""The longest suite is a part of its own."""


def test_langchain(base_url: str) -> None:
    names = sorted(path.name for path in (CLIENTS / "langchain").glob("test_*.py"))
    run_tests("langchain", base_url, *(f"langchain/{name}" for name in names if name != APART))
