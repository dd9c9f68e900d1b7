from __future__ import annotations

import pytest
import torch

from deployments.engine.order_statistics import argmax, largest


def test_argmax_is_the_first_of_equals() -> None:
    rows = torch.tensor([[1.0, 3.0, 3.0], [-1.0, -5.0, -1.0]])
    assert argmax(rows).tolist() == [1, 0]
    assert argmax(rows.bfloat16()).tolist() == [1, 0]
    assert argmax(rows[:0]).tolist() == []


@pytest.mark.parametrize("count", [1, 7, 500])
def test_the_largest_come_in_descending_order(count: int) -> None:
    torch.manual_seed(0)
    rows = torch.randn(3, 500)
    assert torch.equal(largest(rows, count), torch.topk(rows, count).values)
