"""Calls of one family whose replicas answer, or fail, as a test says."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import (
    BackPressureError,
    RayServeException,
    ReplicaUnavailableError,
    RequestCancelledError,
)

from deployments.seam.generation import GenerationRequest
from deployments.seam.problems import Problem
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from tests.serve_app.local_handle import PATIENCE_S, Family, LocalHandle

REQUEST = GenerationRequest("id-1", "house/fast", prompt="Hi", max_new_tokens=9)
SECRET = "/home/inside/model.py line 7"
REFUSED = Problem("validation", "too long", "max_new_tokens")
LOST = RayActorError(error_msg=SECRET)


def raised_by_the_family(cause: Exception) -> Exception:
    """An exception as Ray brings it from a replica: of its own kind, and a ``RayTaskError``."""
    task_error: Any = RayTaskError
    wrapped: Exception = task_error("generate", SECRET, cause).as_instanceof_cause()
    return wrapped


FAILURES: list[tuple[Exception, int]] = [
    (BackPressureError(9, 9), 429),
    (ReplicaUnavailableError("replica-1"), 503),
    (RequestCancelledError("id-1"), 503),
    (TaskCancelledError(error_message=SECRET), 503),
    (RayError(SECRET), 500),
    (RayServeException(SECRET), 500),
    (raised_by_the_family(ValueError(SECRET)), 500),
    (raised_by_the_family(TimeoutError(SECRET)), 500),
]


def calls(family: Family, timeout_s: float = PATIENCE_S) -> DeploymentClient:
    return DeploymentClient({"generation": LocalHandle(family)}, timeout_s)
