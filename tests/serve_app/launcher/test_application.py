"""What deploying beside others asks of the dashboard, seen in the cluster it leaves behind."""

from typing import Any

import pytest

from serve_app.launcher.application import Application
from serve_app.launcher.cluster import StartError
from serve_app.launcher.dashboard import Dashboard
from serve_app.launcher.plan import Plan


class Cluster(Dashboard):
    """A cluster as its dashboard shows it: a config replaces what earlier ones deployed."""

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


def _plan(name: str) -> Plan:
    return Plan({"http_options": {}, "applications": [{"name": name}]}, None, ())


def test_alone_it_takes_serve_down_with_it() -> None:
    cluster = Cluster()
    application = Application(cluster, _plan("ours"))
    assert application.deploy() is False
    assert set(cluster.deployed) == {"ours"}
    application.remove(1.0)
    assert not cluster.runs


def test_others_stay_when_it_comes_and_when_it_goes() -> None:
    cluster = Cluster("theirs")
    application = Application(cluster, _plan("ours"))
    assert application.deploy() is True
    assert set(cluster.deployed) == {"theirs", "ours"}
    application.remove(1.0)
    assert set(cluster.deployed) == {"theirs"}


def test_one_that_came_later_stays_when_the_first_goes() -> None:
    cluster = Cluster()
    first, second = (Application(cluster, _plan(name)) for name in ("first", "second"))
    first.deploy()
    second.deploy()
    first.remove(1.0)
    assert set(cluster.deployed) == {"second"}


def test_an_application_of_the_same_name_is_neither_replaced_nor_taken_down() -> None:
    cluster = Cluster("ours")
    application = Application(cluster, _plan("ours"))
    with pytest.raises(StartError, match="ours runs on that cluster already"):
        application.deploy()
    application.remove(1.0)
    assert set(cluster.deployed) == {"ours"}
