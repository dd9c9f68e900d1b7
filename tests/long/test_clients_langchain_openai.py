"""LangChain's standard suite of chat models against the running graph, with ``ChatOpenAI``."""

from __future__ import annotations

from tests.long.client_environment import run_tests


def test_langchain_openai(base_url: str) -> None:
    run_tests("langchain", base_url, "langchain/test_chat_openai.py")
