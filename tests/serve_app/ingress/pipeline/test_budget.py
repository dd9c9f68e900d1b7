"""The budget: what a value weighs, and an end to what multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve_app.ingress.errors import PayloadTooLarge
from serve_app.ingress.pipeline.budget import MAX_VALUES, DataBudget, byte_size, value_count

PLENTY = 10**9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("four", 4),
        ("ü", 2),
        (10**40, 8),
        (None, 8),
        (np.zeros((3, 4), np.float32), 96),
        ([1.0, 2.0], 32),
        ({"ab": "cd"}, 12),
        ([{"ab": ["cd"]}], 28),
    ],
)
def test_a_value_weighs_about_its_bytes(value: Any, expected: int) -> None:
    assert byte_size(value, PLENTY) == expected


def test_every_use_counts() -> None:
    budget = DataBudget(25)
    for _ in range(2):
        budget.charge("0123456789")
    with pytest.raises(PayloadTooLarge, match="more than 25 bytes"):
        budget.charge("0123456789")


def test_a_value_that_doubles_at_every_level_is_not_walked_to_its_end() -> None:
    bomb: Any = "x"
    for _ in range(60):  # 2 to the 60th, were it walked
        bomb = [bomb, bomb]
    with pytest.raises(PayloadTooLarge):
        DataBudget(100_000).charge(bomb)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("four", 1),
        (None, 1),
        ([], 1),
        ([1.0, "two"], 3),
        ({"a": [1], "b": {}}, 4),
        (np.zeros((3, 4), np.float32), 12),
        ([np.zeros(5)], 6),
    ],
)
def test_values_are_counted_with_the_lists_and_objects_around_them(
    value: Any, expected: int
) -> None:
    assert value_count(value, PLENTY) == expected


def test_references_may_stand_for_so_many_values_and_no_more() -> None:
    budget, part = DataBudget(PLENTY), [0] * (MAX_VALUES // 4 - 1)
    for _ in range(4):
        budget.charge_reference(part)
    with pytest.raises(PayloadTooLarge, match="100,000 values"):
        budget.charge_reference("one more")


def test_an_answer_of_many_values_is_bounded_by_its_bytes_alone() -> None:
    budget = DataBudget(PLENTY)
    budget.charge(np.zeros(2 * MAX_VALUES))
    budget.charge_reference("a reference beside it")
    with pytest.raises(PayloadTooLarge):
        budget.charge_reference(np.zeros(2 * MAX_VALUES))


def test_what_references_stand_for_counts_in_bytes_too() -> None:
    with pytest.raises(PayloadTooLarge, match="more than 25 bytes"):
        DataBudget(25).charge_reference("x" * 26)


def test_values_that_double_at_every_level_are_not_counted_to_their_end() -> None:
    bomb: Any = "x"
    for _ in range(60):
        bomb = [bomb, bomb]
    assert value_count(bomb, 1000) == 1001
