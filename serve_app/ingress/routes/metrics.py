"""``GET /metrics``, for Prometheus, and ``GET /performance``, figures of the last requests."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from deployments.metrics.report import Performance
from serve_app.ingress.metering.metering import Metering
from serve_app.ingress.routes.context import NATIVE_PREFIX, json_response

router = APIRouter(tags=["metrics"])


async def metering_of(request: Request) -> Metering:
    metering: Metering = request.app.state.metering
    return metering


AppMetering = Annotated[Metering, Depends(metering_of)]


@dataclass(frozen=True)
class PerformanceAnswer(Performance):
    """Times in seconds, memory in GiB, ``success_rate`` per cent.

    ``total_requests`` counts up to the last 1,000, the other figures are of the last 100. Times are
    of requests that a model answered, memory is that of the models that did. ``binding_limits``
    says of each family with a replica why it is not faster, and which setting changes that.
    """


class NoPerformance(BaseModel):
    message: str


@router.get(
    "/metrics",
    summary="Metrics of the whole cluster",
    responses={200: {"description": "Prometheus' text format", "content": {"text/plain": {}}}},
    response_class=Response,
)
async def metrics(metering: AppMetering, accept: Annotated[str, Header()] = "") -> Response:
    """In Prometheus' text format, or OpenMetrics where ``Accept`` prefers it."""
    exposition = await metering.exposition(accept)
    return Response(exposition.body, headers={"Content-Type": exposition.content_type})


@router.get(
    f"{NATIVE_PREFIX}/performance",
    summary="Figures of the last requests",
    response_model=PerformanceAnswer | NoPerformance,
)
async def performance(metering: AppMetering) -> Response:
    """Of the whole cluster."""
    found = await metering.performance()
    return json_response({"message": "No metrics available"} if found is None else asdict(found))
