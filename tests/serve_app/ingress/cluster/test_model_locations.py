"""Where models are: by the reports of replicas, and by what was just sent to them."""

from __future__ import annotations

import pytest

from serve_app.ingress.cluster import model_locations
from serve_app.ingress.cluster.model_locations import EXPECTED_S, ModelLocations


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def locations(clock: Clock) -> ModelLocations[str]:
    return ModelLocations[str](clock)


def test_a_report_tells_loaded_models_from_those_on_their_way(
    locations: ModelLocations[str],
) -> None:
    stages = {"here": "warm", "coming": "loading", "far": "fetching", "gone": "leaving"}
    locations.update({"one": {"models": stages}}, {})
    assert set(locations.loaded("here")) == {"one"}
    assert [set(locations.loading(name)) for name in ("coming", "far")] == [{"one"}, {"one"}]
    for name in ("gone", "unknown"):
        assert not locations.loaded(name)
        assert not locations.loading(name)


def test_pinned_models_are_there_before_the_first_report_and_not_against_it(
    locations: ModelLocations[str],
) -> None:
    locations.update({"one": {}}, {"one": ["pinned"]})
    assert set(locations.loaded("pinned")) == {"one"}
    locations.update({"one": {"models": {}}}, {"one": ["pinned"]})
    assert not locations.loaded("pinned")


def test_a_replica_that_got_a_request_is_loading_the_model_for_a_while(
    locations: ModelLocations[str], clock: Clock
) -> None:
    locations.update({"one": {"models": {}}, "two": {"models": {}}}, {})
    locations.sent("new", "one")
    assert set(locations.loading("new")) == {"one"}
    clock.now = EXPECTED_S
    assert not locations.loading("new")


def test_a_report_that_the_model_is_loaded_ends_the_expectation(
    locations: ModelLocations[str],
) -> None:
    locations.sent("new", "one")
    locations.update({"one": {"models": {"new": "warm"}}}, {})
    locations.sent("new", "one")
    assert set(locations.loaded("new")) == {"one"}
    assert not locations.loading("new")


def test_a_lost_replica_is_forgotten(locations: ModelLocations[str]) -> None:
    locations.update({"one": {"models": {"a": "warm"}}, "two": {"models": {}}}, {})
    locations.sent("b", "one")
    locations.update({"two": {"models": {}}}, {})
    assert not locations.loaded("a")
    assert not locations.loading("b")


def test_expectations_are_bounded_and_the_oldest_go_first(
    locations: ModelLocations[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_locations, "MAX_EXPECTED", 2)
    for name in ("a", "b", "a", "c"):
        locations.sent(name, "one")
    assert [bool(locations.loading(name)) for name in "abc"] == [True, False, True]
