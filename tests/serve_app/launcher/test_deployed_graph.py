"""Deploying and removing the graph on a cluster that has other applications too."""

from typing import Any

import pytest

from serve_app.launcher.dashboard import Dashboard, NoAnswerError
from serve_app.launcher.deployed_graph import DeployedGraph
from serve_app.launcher.plan import StartPlan
from serve_app.launcher.ray_head import StartError


class Cluster(Dashboard):
    """A cluster seen through its dashboard: each config replaces all earlier applications."""

    def __init__(self, *names: str) -> None:
        super().__init__("http://cluster:8265", None)
        self.deployed = {name: {"name": name} for name in names}
        self.runs = bool(names)

    def details(self) -> dict[str, Any]:
        applications = {n: {"deployed_app_config": each} for n, each in self.deployed.items()}
        controller = {"actor_id": "c"} if self.runs else {}
        return {"controller_info": controller, "applications": applications}

    def deploy(self, config: dict[str, Any]) -> None:
        self.runs = True
        self.deployed = {each["name"]: each for each in config["applications"]}

    def shut_down(self, limit_s: float) -> None:
        self.runs = False
        self.deployed = {}


def _plan(name: str) -> StartPlan:
    return StartPlan({"http_options": {}, "applications": [{"name": name}]}, None, ())


def _alive() -> None:
    """Nothing has ended."""


class Busy(Cluster):
    """A cluster whose dashboard answers only every other request."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.asked = 0

    def details(self) -> dict[str, Any]:
        self._stall()
        return super().details()

    def deploy(self, config: dict[str, Any]) -> None:
        self._stall()
        super().deploy(config)

    def _stall(self) -> None:
        self.asked += 1
        if self.asked % 2:
            raise NoAnswerError("no answer from Ray's dashboard: timed out")


def test_a_slow_dashboard_is_asked_again() -> None:
    cluster = Busy("theirs")
    application = DeployedGraph(cluster, _plan("ours"))
    application.deploy(60, _alive)
    assert set(cluster.deployed) == {"theirs", "ours"}
    application.remove(60)
    assert set(cluster.deployed) == {"theirs"}


def test_a_dashboard_that_never_answers_is_asked_until_time_is_up() -> None:
    class Silent(Cluster):
        def details(self) -> dict[str, Any]:
            raise NoAnswerError("no answer from Ray's dashboard: timed out")

    with pytest.raises(StartError, match="no answer from Ray's dashboard"):
        DeployedGraph(Silent(), _plan("ours")).deploy(0.3, _alive)


def test_a_start_whose_ray_head_has_ended_stops_asking_the_dashboard() -> None:
    def gone() -> None:
        raise StartError("Ray's raylet ended unexpectedly")

    with pytest.raises(StartError, match="raylet"):
        DeployedGraph(Busy(), _plan("ours")).deploy(60, gone)


def test_the_only_application_takes_serve_down_when_it_is_removed() -> None:
    cluster = Cluster()
    application = DeployedGraph(cluster, _plan("ours"))
    assert application.deploy(60, _alive) is False
    assert set(cluster.deployed) == {"ours"}
    application.remove(1.0)
    assert not cluster.runs


def test_applications_of_others_stay_when_ours_is_deployed_and_removed() -> None:
    cluster = Cluster("theirs")
    application = DeployedGraph(cluster, _plan("ours"))
    assert application.deploy(60, _alive) is True
    assert set(cluster.deployed) == {"theirs", "ours"}
    application.remove(1.0)
    assert set(cluster.deployed) == {"theirs"}


def test_an_application_that_was_deployed_later_stays_when_the_first_is_removed() -> None:
    cluster = Cluster()
    first, second = (DeployedGraph(cluster, _plan(name)) for name in ("first", "second"))
    first.deploy(60, _alive)
    second.deploy(60, _alive)
    first.remove(1.0)
    assert set(cluster.deployed) == {"second"}


def test_an_application_of_the_same_name_is_neither_replaced_nor_taken_down() -> None:
    cluster = Cluster("ours")
    application = DeployedGraph(cluster, _plan("ours"))
    with pytest.raises(StartError, match="ours runs on that cluster already"):
        application.deploy(60, _alive)
    application.remove(1.0)
    assert set(cluster.deployed) == {"ours"}
