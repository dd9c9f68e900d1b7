"""A family is a deployment class, a router and a profile entry; everything else follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from configs.import_paths import imported
from configs.profile import load_settings
from configs.profile_file import load_profile
from deployments.models.config import FamilyConfig
from serve_app.ingress.app import create_app, routers_of
from serve_app.ingress.catalog import Catalog
from serve_app.ingress.cluster.deployment_client import DeploymentClient
from serve_app.ingress.routes.context import Services
from serve_app.registry.task_names import all_tasks, code_of
from tests.deployments.metrics.reading import figures
from tests.serve_app import house
from tests.serve_app.house import NATIVE
from tests.serve_app.local_handle import LocalHandle

HUB_TASK = "text2text-generation"
PROFILE = Path(__file__).parents[1] / "toy" / "profile.yaml"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The application of the toy's profile, over its real deployment class."""
    profile = load_profile(PROFILE)
    settings = load_settings(profile)
    (family,) = profile.families
    replica = imported(family.deployment)(FamilyConfig(family.name, family.models, settings))
    calls = DeploymentClient({family.name: LocalHandle(replica)}, settings.request_timeout_s)
    services = Services(Catalog(profile, settings), calls, settings, house.Ready())
    return create_app(services, routers_of(profile))


async def spelled(app: FastAPI, **body: Any) -> httpx.Response:
    return await house.post(app, f"{NATIVE}/spell", body)


async def test_its_route_answers_as_every_native_route_does(app: FastAPI) -> None:
    answer = (await spelled(app, texts="stressed")).json()
    assert set(answer) == {"text", "spelled", "model", "request_id", "execution_time"}
    assert (answer["spelled"], answer["model"]) == ("desserts", "toy/quiet")
    items = (await spelled(app, texts=["ab", "", "ü", "cd"])).json()
    assert [item.get("spelled") for item in items] == ["ba", None, None, "dc"]
    assert items[2]["error"]["message"] == "only ASCII can be spelled"


async def test_its_models_are_named_listed_and_refused_like_any(app: FastAPI) -> None:
    assert (await spelled(app, texts="ab", model_name="toy/loud")).json()["spelled"] == "BA"
    assert (await spelled(app, texts="ab", model_name="quiet")).json()["model"] == "toy/quiet"
    assert (await spelled(app, texts="ab", model_name="no/such")).status_code == 404
    listed = (await house.get(app, f"{NATIVE}/models")).json()["models"]
    assert [(model["name"], model["family"]) for model in listed] == [
        ("toy/quiet", "spelling"),
        ("toy/loud", "spelling"),
    ]


async def test_a_bad_body_is_refused_by_name(app: FastAPI) -> None:
    response = await spelled(app, texts="ab", loud=True)
    assert response.status_code == 400
    assert "loud" in response.json()["details"]["field_errors"]


async def test_its_task_can_be_a_step(app: FastAPI) -> None:
    steps = [
        {"id": "once", "task": "spell", "inputs": {"texts": "$input.text"}},
        {"id": "twice", "task": "spell", "inputs": {"texts": ["$once.spelled", "<${once.text}>"]}},
        {
            "id": "loud",
            "task": "spell",
            "inputs": {"texts": "$once.text"},
            "model_name": "toy/loud",
        },
    ]
    body = {"steps": steps, "input": {"text": "stressed"}}
    answer = (await house.post(app, f"{NATIVE}/graph", body)).json()
    assert [item["spelled"] for item in answer["outputs"]["twice"]] == ["stressed", ">desserts<"]
    assert answer["outputs"]["loud"]["spelled"] == "DESSERTS"
    assert [step["model"] for step in answer["steps"]] == ["toy/quiet", "toy/quiet", "toy/loud"]


async def test_hugging_faces_clients_can_ask_its_models(app: FastAPI) -> None:
    spelled = await house.post(app, "/models/toy/loud", {"inputs": ["ab", "ü"]})
    error = {"error": "only ASCII can be spelled", "error_type": "validation"}
    assert spelled.json() == [{"generated_text": "BA"}, error]
    refused = await house.post(app, "/models/toy/loud", {"inputs": "ab", "loud": True})
    assert list(refused.json()["details"]["field_errors"]) == ["loud"]
    info = (await house.get(app, "/models/toy/loud/info")).json()
    assert (info["model_pipeline_tag"], info["tasks"]) == (HUB_TASK, [HUB_TASK])


async def test_its_requests_are_metered_by_its_task_with_their_tokens(app: FastAPI) -> None:
    before = figures((await house.get(app, "/metrics")).text)
    await spelled(app, texts=["ab", "c"], model_name="toy/loud")
    await spelled(app, wrong="ab")
    after = figures((await house.get(app, "/metrics")).text)

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    assert grown("requests_total", "toy/loud", "spell", "success") == 1
    assert grown("requests_total", "unknown", "spell", "error") == 1
    assert grown("tokens_in_total", "toy/loud", "spell") == 3


async def test_it_is_documented(app: FastAPI) -> None:
    document = (await house.get(app, "/openapi.json")).json()
    operation = document["paths"][f"{NATIVE}/spell"]["post"]
    assert (operation["operationId"], operation["summary"]) == ("spell", "Texts backwards")
    schemas = document["components"]["schemas"]
    assert schemas["SpellBody"]["example"] == {"texts": "stressed"}
    assert {"SpelledAnswer", "HubHubSpellBody"} <= set(schemas)


def test_it_is_among_the_tasks_under_all_of_its_names() -> None:
    profile = load_profile(PROFILE)
    (task,) = all_tasks(*code_of(profile))
    assert (task.name, task.about) == ("spell", "spells texts backwards")
    assert task.routes == (f"{NATIVE}/spell",)
    assert task.steps == ("spell",)
    assert (task.hugging_face, task.also_called) == ((HUB_TASK,), ("reversal",))
    assert task.families == ("tests.toy.spelling:Spelling",)
