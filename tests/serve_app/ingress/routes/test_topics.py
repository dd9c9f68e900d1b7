"""Topics: a topic model where there is one, else the settings' list of topics, zero-shot."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI

from configs.profile import Profile
from configs.settings import Settings
from deployments.seam.classification import (
    ClassificationRequest,
    ClassificationResult,
    LabelScore,
    ZeroShotRequest,
)
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from tests.serve_app import house
from tests.serve_app.house import NATIVE, SOURCE
from tests.serve_app.local_handle import Family, LocalHandle

CATS = ClassificationResult(((LabelScore("cats", 0.7), LabelScore("dogs", 0.3)),))


def application(family: Family, *tasks: str, **settings: Any) -> FastAPI:
    """One classification family with a model for each of ``tasks``."""
    models = [{"name": f"house/{task}", "tasks": [task], "source": SOURCE} for task in tasks]
    served = Profile.model_validate(
        {
            "name": "house",
            "families": [
                {
                    "name": "classification",
                    "deployment": "deployments.classification:Classification",
                    "routers": [
                        f"serve_app.ingress.routes.{r}:router" for r in ("classification", "topics")
                    ],
                    "models": models,
                }
            ],
        }
    )
    made = Settings(**settings)
    calls = DeploymentClient({"classification": LocalHandle(family)}, 5)
    services = Services(Catalog(served, made), calls, made, house.Ready())
    return create_app(services, routers_of(served))


async def posted(app: FastAPI, route: str = "topics", **body: Any) -> httpx.Response:
    return await house.post(app, f"{NATIVE}/{route}", body)


async def test_a_topic_model_answers_where_there_is_one() -> None:
    family = Family(CATS)
    body = (await posted(application(family, "zero_shot", "topic"), texts="a kitten")).json()
    assert (body["category"], body["confidence"], body["model"]) == ("cats", 0.7, "house/topic")
    assert family.asked == [ClassificationRequest("house/topic", ("a kitten",))]


async def test_else_the_topics_of_the_settings_are_scored() -> None:
    family = Family(CATS)
    app = application(family, "zero_shot", topics=("dogs", "cats"))
    body = (await posted(app, texts="a kitten")).json()
    assert (body["category"], body["model"]) == ("cats", "house/zero_shot")
    assert family.asked == [ZeroShotRequest("house/zero_shot", ("a kitten",), ("dogs", "cats"))]


async def test_labels_are_scored_even_beside_a_topic_model() -> None:
    family = Family(CATS)
    app = application(family, "topic", "zero_shot")
    body = (await posted(app, texts="a kitten", labels=["cats", "dogs"])).json()
    assert body["top_prediction"] == {"label": "cats", "score": 0.7}
    assert family.asked == [ZeroShotRequest("house/zero_shot", ("a kitten",), ("cats", "dogs"))]


async def test_the_named_model_decides_how_topics_are_found() -> None:
    family = Family(CATS)
    app = application(family, "topic", "zero_shot")
    body = (await posted(app, texts="a kitten", model_name="house/zero_shot")).json()
    assert body["model"] == "house/zero_shot"
    assert family.asked[0].labels == Settings().topics


async def test_without_a_model_for_it_the_request_is_refused() -> None:
    response = await posted(application(Family(), "sentiment"), texts="a", labels=["b"])
    assert response.status_code == 400
    assert "zero_shot" in response.json()["message"]


async def test_texts_times_labels_are_bounded() -> None:
    app = application(Family(CATS), "zero_shot", max_pairs=5)
    response = await posted(app, "classify", texts=["a", "b", "c"], labels=["d", "e"])
    assert response.status_code == 400
    assert "6 pairs; the limit is 5" in response.json()["details"]["field_errors"]["texts"]
