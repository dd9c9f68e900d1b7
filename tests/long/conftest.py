"""Tests that take too long for every change; `make test-long` runs them, a file at a time."""

from tests.deployments.conftest import byte_tokenizer
from tests.e2e.conftest import base_url, client, graph, openai_client

__all__ = ["base_url", "byte_tokenizer", "client", "graph", "openai_client"]
