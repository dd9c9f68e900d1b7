"""Readiness: Serve's words for its deployments, asked for at most once a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from serve_app.ingress.app import create_app
from serve_app.ingress.cluster import readiness
from serve_app.ingress.cluster.readiness import CANNOT_START, NO_ANSWER, ServeReadiness
from tests.serve_app import house


class Controller:
    """Serve as this process would see it, with deployments in the states given."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.replicas: dict[str, int] = {}
        self.cannot_start: dict[str, str] = {}
        self.asked = 0

    def get_replica_context(self) -> Any:
        return SimpleNamespace(app_name="prsm")

    def status(self) -> Any:
        self.asked += 1
        deployments = {
            name: SimpleNamespace(
                status=SimpleNamespace(value=word),
                status_trigger=SimpleNamespace(
                    value=CANNOT_START if name in self.cannot_start else "UNSPECIFIED"
                ),
                replica_states={"RUNNING": self.replicas.get(name, 0)},
                message=self.cannot_start.get(name, ""),
            )
            for name, word in self.states.items()
        }
        return SimpleNamespace(applications={"prsm": SimpleNamespace(deployments=deployments)})

    def fails(self, name: str, message: str) -> None:
        """The replicas of a deployment fail to start."""
        self.states[name] = "DEPLOY_FAILED"
        self.cannot_start[name] = message


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


TRACE = """The deployment failed to start 3 times in a row. Error:
  File "/somewhere/cache.py", line 120, in load_pinned
ModelUnavailable: The model a/b could not be loaded: its files are missing.
"""


async def test_a_family_that_cannot_start_leaves_the_others_ready_and_says_why(
    controller: Controller,
) -> None:
    controller.states |= {"Vision": "HEALTHY"}
    controller.fails("Generation", TRACE)
    state = await ServeReadiness().state()
    assert state.ready
    assert state.answers("Vision")
    assert not state.answers("Generation")
    why = "The model a/b could not be loaded: its files are missing."
    assert state.failures == {"Generation": why}


async def test_why_it_cannot_start_shows_nothing_of_serves_traceback(
    controller: Controller,
) -> None:
    controller.states |= {"Vision": "HEALTHY"}
    controller.fails("Generation", "Traceback ... /root/secret.py")
    (why,) = (await ServeReadiness().state()).failures.values()
    assert why == "Its replicas fail to start; their logs say why."


async def test_a_family_with_replicas_answers_whatever_serve_calls_it(
    controller: Controller,
) -> None:
    controller.fails("Generation", TRACE)
    controller.replicas["Generation"] = 1
    state = await ServeReadiness().state()
    assert state.ready
    assert state.failures == {}


@pytest.mark.parametrize("word", ["UPDATING", "UNHEALTHY"])
async def test_a_family_that_starts_keeps_the_graph_unready_only_at_first(
    controller: Controller, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "MAX_AGE_S", -1.0)
    controller.states |= {"Vision": word}
    probe = ServeReadiness()
    assert not (await probe.state()).ready
    controller.states["Vision"] = "HEALTHY"
    assert (await probe.state()).ready
    controller.states["Vision"] = word
    assert (await probe.state()).ready
    controller.states["Generation"] = word
    assert not (await probe.state()).ready, "no family answers"


async def test_the_ledger_is_no_family(controller: Controller) -> None:
    controller.fails("Generation", TRACE)
    controller.states["Ledger"] = "HEALTHY"
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
    monkeypatch.setattr(readiness, "MAX_AGE_S", float("inf"))
    probe = ServeReadiness()
    probe._answered_at = 0.0
    assert not (await probe.state()).ready
    assert controller.asked == 0


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer of the controller is too old at once."""
    monkeypatch.setattr(readiness, "MAX_AGE_S", -1.0)


@pytest.mark.usefixtures("uncached")
async def test_once_it_is_stale_the_controller_is_asked_again(controller: Controller) -> None:
    probe = ServeReadiness()
    assert (await probe.state()).ready
    controller.states["Generation"] = "UNHEALTHY"
    assert not (await probe.state()).ready


@pytest.fixture
def away(
    controller: Controller, uncached: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[threading.Event]:
    """A controller that does not answer before the event is set."""
    back, status = threading.Event(), controller.status

    def hanging() -> Any:
        answer = status()
        back.wait(10)
        return answer

    monkeypatch.setattr(controller, "status", hanging)
    monkeypatch.setattr(readiness, "TIMEOUT_S", 0.05)
    yield back
    back.set()


async def test_a_controller_that_is_away_makes_the_graph_unready_and_holds_one_thread(
    controller: Controller, away: threading.Event
) -> None:
    probe = ServeReadiness()
    states = await asyncio.gather(*(probe.state() for _ in range(20)), probe.state())
    states += [await probe.state() for _ in range(3)]
    assert set(map(id, states)) == {id(NO_ANSWER)}
    assert controller.asked == 1
    away.set()
    assert probe._pending is not None
    await probe._pending
    assert (await probe.state()).ready


async def test_who_stops_waiting_for_the_controller_takes_nobodys_answer_away(
    controller: Controller, away: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_S", 30.0)
    probe = ServeReadiness()
    leaving, staying = (asyncio.ensure_future(probe.state()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    away.set()
    assert (await staying).ready


@pytest.mark.usefixtures("uncached")
async def test_a_controller_that_fails_makes_the_graph_unready(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = ServeReadiness()
    assert (await probe.state()).ready

    def failing() -> Any:
        raise RuntimeError("no such actor")

    monkeypatch.setattr(controller, "status", failing)
    assert not (await probe.state()).ready


@pytest.mark.parametrize("path", ["/health", "/health/readiness", f"/models/{house.FULL}/health"])
async def test_probes_are_answered_while_the_controller_is_away(
    controller: Controller, away: threading.Event, path: str
) -> None:
    application = create_app(house.services({}, ServeReadiness()), [])
    response = await house.get(application, path)
    away.set()
    assert response.status_code == 503
    assert "controller does not answer" in response.text
