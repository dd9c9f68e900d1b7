"""Names that led nowhere are remembered for a moment, and not too many of them."""

from __future__ import annotations

import pytest

from serve_app.ingress.errors import FamilyNotAllowed, ValidationFailed
from serve_app.ingress.failures import MAX_NAMES, TTL_S, RecentFailures


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_error_is_raised_again_for_a_moment_and_never_the_same_object() -> None:
    clock = Clock()
    failures = RecentFailures(clock)
    failures.note("bad", ValidationFailed("it is bad", field="model"))
    raised = []
    for _ in range(2):
        with pytest.raises(ValidationFailed, match="it is bad") as error:
            failures.known_missing("bad")
        assert (error.value.field, error.value.status) == ("model", 400)
        assert error.value.details == {"field_errors": {"model": "it is bad"}}
        raised.append(error.value)
    assert raised[0] is not raised[1]
    clock.now += TTL_S
    assert not failures.known_missing("bad")


def test_a_name_of_nothing_is_known_until_it_is_forgotten() -> None:
    failures = RecentFailures(Clock())
    assert not failures.known_missing("missing")
    failures.note("missing", None)
    assert failures.known_missing("missing")
    failures.forget("missing")
    assert not failures.known_missing("missing")


def test_a_lookup_for_other_families_may_end_otherwise() -> None:
    failures = RecentFailures(Clock())
    failures.note("labels", FamilyNotAllowed("classification", ["mine"]), frozenset({"mine"}))
    assert not failures.known_missing("labels")
    with pytest.raises(FamilyNotAllowed):
        failures.known_missing("labels", frozenset({"mine"}))
    failures.forget("labels")
    assert not failures.known_missing("labels", frozenset({"mine"}))


def test_the_oldest_of_too_many_names_is_dropped() -> None:
    failures = RecentFailures(Clock())
    for number in range(MAX_NAMES + 1):
        failures.note(f"name-{number}", None)
    assert not failures.known_missing("name-0")
    assert failures.known_missing("name-1")
