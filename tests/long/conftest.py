"""Tests too long for every change: run with ``make test-long``, against a running graph."""

from tests.e2e.conftest import base_url, graph

__all__ = ["base_url", "graph"]
