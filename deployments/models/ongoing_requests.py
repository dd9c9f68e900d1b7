"""The number of requests that Serve lets into this replica."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.exceptions import RayServeException


def max_ongoing_requests() -> int | None:
    """How many requests Serve lets into this replica at a time; ``None`` outside Serve."""
    try:
        context: Any = serve.get_replica_context()
    except RayServeException:
        return None
    return int(
        context._deployment_config.max_ongoing_requests
    )  # as @serve.batch of Ray 2.60 reads it
