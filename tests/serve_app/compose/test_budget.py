"""The budget: what a value weighs, and an end to what multiplies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve_app.compose.budget import Budget, weight
from serve_app.errors import PayloadTooLarge

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
    assert weight(value, PLENTY) == expected


def test_every_use_counts() -> None:
    budget = Budget(25)
    for _ in range(2):
        budget.take("0123456789")
    with pytest.raises(PayloadTooLarge, match="more than 25 bytes"):
        budget.take("0123456789")


def test_a_value_that_doubles_at_every_level_is_not_walked_to_its_end() -> None:
    bomb: Any = "x"
    for _ in range(60):  # 2 to the 60th, were it walked
        bomb = [bomb, bomb]
    with pytest.raises(PayloadTooLarge):
        Budget(100_000).take(bomb)
