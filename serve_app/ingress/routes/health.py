"""Health, for load balancers and for people."""

from __future__ import annotations

from typing import Literal, TypeAlias

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from deployments.seam.replicas import ModelStatus, ReplicaReport
from serve_app.ingress.cluster.cluster_models import ClusterModels, ClusterReport
from serve_app.ingress.cluster.readiness import GraphState
from serve_app.ingress.conversations import Conversations
from serve_app.ingress.errors import Unavailable
from serve_app.ingress.model_card import ModelCard
from serve_app.ingress.routes.context import RequestServices, Services, json_response

router = APIRouter(tags=["health"])

MAX_AGE_S = 5.0
"""The age of replicas' reports about their models: every replica is asked, and probes are many."""

FamilyStatus: TypeAlias = Literal["ready", "asleep", "starting", "failed"]
ModelState: TypeAlias = Literal["loaded", "loading", "not loaded", "failed", "unknown"]
SILENT = "A replica does not say which models it has."


class ModelHealth(BaseModel):
    """``reason`` says why a model could not be loaded where it was tried last."""

    name: str
    status: ModelState
    reason: str | None = None


class FamilyHealth(BaseModel):
    """``asleep``: no replica runs, and a request starts one. ``replicas`` are those that run."""

    status: FamilyStatus
    deployment: str
    replicas: int | None = None
    models: list[ModelHealth]
    reason: str | None = None


class StoreHealth(BaseModel):
    """The store of conversations, as far as this replica of the ingress has used it."""

    status: Literal["ready", "failed"]
    reason: str | None = None


class Health(BaseModel):
    """``degraded``: the graph answers, but a family, a model or the conversations do not.

    ``reason`` says why the state of the deployments is not known.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    deployments: dict[str, str]
    models: list[str]
    families: dict[str, FamilyHealth]
    conversations: StoreHealth
    reason: str | None = None


class Alive(BaseModel):
    status: Literal["alive"]


class GraphReady(BaseModel):
    status: Literal["ready"]
    deployments: dict[str, str]


@router.get("/health", summary="State of every family and model", response_model=Health)
async def health(request: Request, services: RequestServices) -> Response:
    """200 with `healthy` or `degraded` when the graph can answer, 503 with `unhealthy` otherwise.

    No family is woken. A model that was loaded on one replica and failed on another has failed.
    """
    state = await services.readiness.state()
    cards = await services.catalog.refresh()
    families = await _families(state, cards, services)
    conversations: Conversations = request.app.state.conversations
    failure = await conversations.failure()
    store = StoreHealth(status="failed" if failure else "ready", reason=failure)
    whole = not failure and all(_is_whole(each) for each in families.values())
    body = Health(
        status=("healthy" if whole else "degraded") if state.ready else "unhealthy",
        deployments=state.deployments,
        models=[card.name for card in cards],
        families=families,
        conversations=store,
        reason=state.reason,
    )
    return json_response(
        body.model_dump(exclude_none=True), status=200 if state.ready else Unavailable.status
    )


@router.get("/health/liveness", summary="This process answers", response_model=Alive)
async def liveness() -> Response:
    return json_response({"status": "alive"})


@router.get("/health/readiness", summary="The graph answers", response_model=GraphReady)
async def readiness(services: RequestServices) -> Response:
    """By Serve's own status. Families scaled to zero count as ready and are not woken.

    A family that cannot be started does not make the others unready, as long as one answers.
    """
    state = await services.readiness.state()
    if not state.ready:
        waiting = [name for name in state.deployments if not state.answers(name)]
        shown = ", ".join(f"{name} is {state.deployments[name]}" for name in waiting)
        raise Unavailable(
            f"The graph is not ready: {shown or state.reason or 'nothing is deployed'}.", 2
        )
    return json_response({"status": "ready", "deployments": state.deployments})


async def _families(
    state: GraphState, cards: tuple[ModelCard, ...], services: Services
) -> dict[str, FamilyHealth]:
    by_family: dict[str, list[ModelCard]] = {}
    for card in cards:
        by_family.setdefault(card.family, []).append(card)
    statuses = {name: _status(state, each[0].deployment) for name, each in by_family.items()}
    asked = [name for name, status in statuses.items() if status == "ready"]
    models = ClusterModels(services.client, services.orders, services.report_cache)
    report = await models.report(asked, MAX_AGE_S)
    return {
        name: FamilyHealth(
            status=statuses[name],
            deployment=each[0].deployment,
            replicas=state.running.get(each[0].deployment),
            models=[_model(card, report, asked=name in asked) for card in each],
            reason=state.failures.get(each[0].deployment)
            or (SILENT if name in report.unanswered else None),
        )
        for name, each in by_family.items()
    }


def _status(state: GraphState, deployment: str) -> FamilyStatus:
    if deployment in state.failures:
        return "failed"
    if not state.answers(deployment) and not (state.ready and not state.deployments):
        return "starting"
    return "asleep" if state.running.get(deployment) == 0 else "ready"


def _model(card: ModelCard, report: ClusterReport, *, asked: bool) -> ModelHealth:
    failures = (failed for each in report.reports for failed in each.failed)
    reasons = [failed.reason for failed in failures if failed.model == card.name]
    if reasons:
        return ModelHealth(name=card.name, status="failed", reason=f"{reasons[0]}.")
    found: list[tuple[ReplicaReport, ModelStatus]] = report.of(card.name)
    if any(status.stage == "warm" for _, status in found):
        return ModelHealth(name=card.name, status="loaded")
    if found:
        return ModelHealth(name=card.name, status="loading")
    silent = asked and card.family in report.unanswered
    return ModelHealth(name=card.name, status="unknown" if silent else "not loaded")


def _is_whole(family: FamilyHealth) -> bool:
    fails = family.status == "failed" or family.reason is not None
    return not fails and all(model.status != "failed" for model in family.models)
