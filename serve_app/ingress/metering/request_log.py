"""Logs each inference request that has ended: who asked for what, how long it took, how it ended.

The fields are attributes of the log record. With ``logging_config: {encoding: JSON}`` Serve writes
them as keys of a JSON object, one a line; else they are in the message alone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from starlette.types import Scope

from deployments.metrics.report import FinishedRequest
from serve_app.ingress.metering.record import RequestRecord
from serve_app.ingress.metering.responses import route_of
from serve_app.ingress.request_id import request_id_of
from serve_app.ingress.route_table import RouteTable

logger = logging.getLogger("ray.serve")  # in the replica's log under its own level


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended: the status of its answer, if one began, and why it is no success."""

    status: int | None
    reason: str | None = None
    cancelled: bool = False


class RequestLog:
    """Writes a line for each request, unless it is not ``enabled``.

    Neither prompts nor answers are in it.
    """

    def __init__(self, routes: RouteTable, *, enabled: bool) -> None:
        self._routes = routes
        self._enabled = enabled

    def write(
        self, scope: Scope, record: RequestRecord, finished: FinishedRequest, ending: Ending
    ) -> None:
        if not self._enabled:
            return
        tokens = record.token_counts
        fields = {
            "request_id": request_id_of(scope),
            "http_route": route_of(self._routes, scope),
            "http_status": ending.status,
            "model": finished.model,
            "task": finished.task,
            "ended": _word(finished, ending),
            "prompt_tokens": tokens.prompt,
            "completion_tokens": tokens.completion,
            "first_token_s": _rounded(record.first_token_s),
            "inference_s": _rounded(finished.seconds),
            "duration_s": _rounded(record.age_s),
        }
        told = " ".join(f"{key}={value}" for key, value in fields.items() if value is not None)
        logger.info("request %s", told, extra=fields)


def _word(finished: FinishedRequest, ending: Ending) -> str:
    if finished.success:
        return "success"
    return "cancelled" if ending.cancelled else ending.reason or "error"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
