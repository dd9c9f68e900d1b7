"""Readiness: Serve's words for its deployments, asked for at most once a second."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from serve_app import readiness
from serve_app.readiness import ServeReadiness


class Controller:
    """Serve as this process would see it, with deployments in the states given."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.asked = 0

    def get_replica_context(self) -> Any:
        return SimpleNamespace(app_name="prsm")

    def status(self) -> Any:
        self.asked += 1
        deployments = {
            name: SimpleNamespace(status=SimpleNamespace(value=word))
            for name, word in self.states.items()
        }
        return SimpleNamespace(applications={"prsm": SimpleNamespace(deployments=deployments)})


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    made = Controller(Ingress="HEALTHY", Generation="HEALTHY")
    monkeypatch.setattr(readiness, "serve", made)
    return made


@pytest.mark.parametrize("word", ["HEALTHY", "UPSCALING", "DOWNSCALING"])
async def test_a_graph_that_answers_is_ready(controller: Controller, word: str) -> None:
    controller.states["Generation"] = word
    state = await ServeReadiness().state()
    assert state.ready
    assert state.deployments == {"Ingress": "HEALTHY", "Generation": word}


@pytest.mark.parametrize("word", ["UPDATING", "UNHEALTHY", "DEPLOY_FAILED"])
async def test_one_deployment_that_does_not_answer_makes_it_unready(
    controller: Controller, word: str
) -> None:
    controller.states["Generation"] = word
    assert not (await ServeReadiness().state()).ready


async def test_an_application_that_has_no_deployments_yet_is_not_ready(
    controller: Controller,
) -> None:
    controller.states = {}
    assert not (await ServeReadiness().state()).ready


async def test_an_application_that_is_not_there_is_not_ready(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "status", lambda: SimpleNamespace(applications={}))
    state = await ServeReadiness().state()
    assert not state.ready
    assert state.deployments == {}


async def test_while_the_answer_is_fresh_the_controller_is_left_alone(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_S", float("inf"))
    asking = ServeReadiness()
    asking._asked = 0.0
    assert not (await asking.state()).ready
    assert controller.asked == 0


async def test_once_it_is_stale_the_controller_is_asked_again(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_S", -1.0)
    asking = ServeReadiness()
    assert (await asking.state()).ready
    controller.states["Generation"] = "UNHEALTHY"
    assert not (await asking.state()).ready
