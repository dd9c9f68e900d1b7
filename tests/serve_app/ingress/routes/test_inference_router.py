"""Routers say what their requests are for; an application gathers it from all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi import APIRouter

from serve_app.ingress.app import all_routers
from serve_app.ingress.metering.purposes import Purpose
from serve_app.ingress.routes import classification, topics
from serve_app.ingress.routes.inference_router import InferenceRouter, hub_tasks_of, purposes_of
from tests.serve_app import house
from tests.serve_app.house import NATIVE


def router() -> InferenceRouter:
    made = InferenceRouter(prefix="/api", tags=["a"])

    @made.inference("/classify", "sentiment", "zero_shot")
    async def classify() -> None: ...

    @made.inference("/talks/{user:path}/messages", "chat", also_called=("talking",))
    async def say(user: str) -> None: ...

    @made.inference("/graph", "graph", fixed=True)
    async def graph() -> None: ...

    @made.post("/models")
    async def order() -> None: ...

    return made


@pytest.mark.parametrize(
    ("method", "path", "purpose"),
    [
        ("POST", "/api/classify", Purpose("sentiment", model_tasks=("sentiment", "zero_shot"))),
        ("POST", "/api/talks/ada/lovelace/messages", Purpose("chat", model_tasks=("chat",))),
        ("POST", "/api/graph", Purpose("graph", fixed=True, model_tasks=("graph",))),
        ("GET", "/api/classify", None),
        ("POST", "/api/models", None),
        ("POST", "/api/talks/ada", None),
    ],
)
def test_a_request_is_for_the_first_task_of_its_route(
    method: str, path: str, purpose: Purpose | None
) -> None:
    assert purposes_of([router(), APIRouter()]).of(method, path) == purpose


@pytest.mark.parametrize(
    ("path", "task"), [("rerank", "rerank"), ("pipeline/rerank", "unknown"), ("", "unknown")]
)
def test_a_request_below_a_model_is_for_the_task_of_the_route_that_takes_it(
    path: str, task: str
) -> None:
    purposes = purposes_of(all_routers([]))
    found = purposes.of("POST", f"/models/house/model/{path}")
    assert found is not None
    assert found.task == task


@pytest.mark.parametrize("path", [f"{NATIVE}/own", "/v1/own", "/models/org/name"])
def test_a_post_of_a_plain_router_is_inference_of_an_unknown_task(path: str) -> None:
    assert purposes_of([APIRouter()]).of("POST", path) == Purpose("unknown")


def test_the_tasks_that_metrics_may_name_are_those_of_all_routes() -> None:
    assert purposes_of([router()]).tasks == {"unknown", "sentiment", "chat", "graph"}


def test_other_names_lead_to_the_first_task() -> None:
    assert router().other_names == {"talking": "chat"}


def test_hub_tasks_that_two_routers_share_are_there_once() -> None:
    shared = list(hub_tasks_of([classification.router, topics.router]))
    assert shared == list(classification.router.hub_tasks)


def test_a_task_that_a_field_tells_from_others_is_not_the_default() -> None:
    """Zero-shot classification cannot answer a body without labels."""
    (card, *_) = house.services({}).catalog.cards
    card = replace(card, tasks=("zero_shot", "topic"))
    tasks = hub_tasks_of([topics.router])
    assert tasks.names(card) == ["text-classification", "zero-shot-classification"]
    assert tasks.task_for(card, {"inputs": "a"}).model_task == "topic"
    labelled = {"inputs": "a", "parameters": {"candidate_labels": ["b"]}}
    assert tasks.task_for(card, labelled).model_task == "zero_shot"
