"""How long a batch may take beside other tenants: no model, only the bound."""

from __future__ import annotations

import math

import pytest

from deployments.batching.contention import Contention
from deployments.batching.tuning import CONTENDED_FIXED_TIMES
from deployments.models.fair_shares import Owner

SHOP, OTHER, THIRD = Owner("shop", ""), Owner("other", ""), Owner("third", "")


@pytest.fixture
def contention() -> Contention:
    """The shop wanted 20 ms of forwards at 0 s."""
    made = Contention()
    made.wanted(SHOP, 0.020, 0.0)
    return made


def test_a_batch_beside_another_tenant_may_take_about_as_long_as_that_one_wanted(
    contention: Contention,
) -> None:
    assert contention.max_seconds(OTHER, 0.001, 0.1) == pytest.approx(0.022)


def test_the_other_tenants_fairness_ids_bound_nothing_of_its_own(contention: Contention) -> None:
    assert contention.max_seconds(Owner("shop", "id"), 0.001, 0.1) == math.inf


def test_a_batch_may_always_take_longer_than_a_forward_over_nothing(
    contention: Contention,
) -> None:
    assert contention.max_seconds(OTHER, 0.050, 0.1) == pytest.approx(CONTENDED_FIXED_TIMES * 0.050)


def test_a_batch_may_take_longer_the_longer_the_other_tenant_is_away(
    contention: Contention,
) -> None:
    bounds = [contention.max_seconds(OTHER, 0.001, now) for now in (0.5, 1.0, 2.0, 3.0)]
    assert bounds[0] == pytest.approx(0.022)
    assert bounds[0] < bounds[1] < bounds[2] < bounds[3] < 0.1
    assert contention.max_seconds(OTHER, 0.001, 60.0) == math.inf


def test_the_tenant_that_was_there_last_and_wanted_least_counts(contention: Contention) -> None:
    contention.wanted(THIRD, 0.010, 0.1)
    assert contention.max_seconds(OTHER, 0.001, 0.1) == pytest.approx(0.011)
    assert contention.max_seconds(THIRD, 0.001, 0.1) == pytest.approx(0.022)


def test_tenants_that_are_away_are_forgotten(contention: Contention) -> None:
    for number in range(100):
        contention.wanted(Owner(f"key {number}", ""), 0.01, number)
    assert len(contention._recent) < 20


def test_running_sequences_are_bounded_for_a_second_only(contention: Contention) -> None:
    assert contention.others_want(OTHER, 0.9) == 0.020
    assert contention.others_want(OTHER, 1.1) == math.inf
