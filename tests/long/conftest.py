"""Tests that take too long for every change; `make test-long` runs them, a file at a time."""

from tests.e2e.conftest import base_url, client, graph, openai_client

__all__ = ["base_url", "client", "graph", "openai_client"]
