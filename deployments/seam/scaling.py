"""The load that replicas report to Serve's autoscaling, and the decisions that are made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypedDict

from ray.experimental import internal_kv

from deployments.seam.orders import NAMESPACE

Measure: TypeAlias = Literal["slots", "kv_cache", "queue", "requests", "busy", "serve", "none"]
"""What a number of replicas follows from; ``serve`` is Serve's own policy."""


TIMEOUT_S = 5.0
"""The time that a call of the GCS may take: readers and writers do without rather than wait."""


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """How much of its replica one model asks for; 1 is all that there is, and more waits.

    ``slots``: sequences that run or wait, of a text generator, to its slots. ``kv_cache``: their
    tokens to those that fit its KV cache. ``queue``: the predicted seconds of waiting work to
    ``target_queue_s``. ``busy``: the part of the time in which forwards run, at most 1.
    """

    slots: float = 0.0
    kv_cache: float = 0.0
    queue: float = 0.0
    busy: float = 0.0


class AutoscalingStats(TypedDict):
    """What a replica reports to Serve's controller every few seconds: its models' load together."""

    slots: float
    kv_cache: float
    queue: float
    busy: float
    target_queue_s: float
    max_ongoing_requests: float


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """How many replicas a deployment needs, before the profile's bounds and delays, and why.

    ``target`` is what Serve keeps to at this moment, ``at`` the time in seconds since the epoch.
    """

    needed: int
    measure: Measure
    why: str
    running: int
    target: int
    min_replicas: int
    max_replicas: int
    at: float


class ScalingDecisions:
    """The last decision for each deployment of one application.

    They are in the key-value store of Ray's GCS, beside the orders
    (:mod:`deployments.seam.orders`), since Serve's controller, which makes them, has no interface
    for them. Calls block for a moment, and raise ``RayError`` when the cluster's head is away, or
    does not answer within :data:`TIMEOUT_S`.
    """

    def __init__(self, application: str) -> None:
        self._prefix = f"scaling/{application}/".encode()

    def put(self, deployment: str, decision: ScalingDecision) -> None:
        key, text = self._prefix + deployment.encode(), json.dumps(asdict(decision)).encode()
        _gcs().internal_kv_put(key, text, True, NAMESPACE, timeout=TIMEOUT_S)

    def get(self, deployment: str) -> ScalingDecision | None:
        key = self._prefix + deployment.encode()
        text = _gcs().internal_kv_get(key, NAMESPACE, timeout=TIMEOUT_S)
        return None if text is None else _decision(text)


def _gcs() -> Any:
    """The process's client of the GCS; the functions of ``internal_kv`` take no timeout."""
    untyped: Any = internal_kv
    return untyped.internal_kv_get_gcs_client()


def _decision(text: bytes) -> ScalingDecision | None:
    """``None`` if another version of this service has written it, during an update."""
    try:
        return ScalingDecision(**json.loads(text))
    except (TypeError, ValueError):
        return None
