from __future__ import annotations

import pytest
import torch

from deployments.engine.nucleus import candidates_needed, cut_tail

PROBABILITIES = torch.tensor([0.05, 0.4, 0.1, 0.3, 0.15])


def cut(
    probabilities: torch.Tensor, top_k: int, top_p: float, candidates: int = 1024
) -> tuple[list[int], bool]:
    """The tokens that are left, and whether more candidates are needed."""
    row = probabilities.clone()[None]
    beyond = cut_tail(row, torch.tensor([top_k]), torch.tensor([top_p]), candidates)
    expected = torch.where(row[0] > 0, probabilities, 0.0)
    assert torch.allclose(row[0] / row.sum(), expected / expected.sum())
    return row[0].nonzero()[:, 0].tolist(), bool(beyond)


@pytest.mark.parametrize(
    ("top_k", "top_p", "left"),
    [
        (0, 1.0, [0, 1, 2, 3, 4]),
        (2, 1.0, [1, 3]),
        (9, 1.0, [0, 1, 2, 3, 4]),
        (0, 1e-6, [1]),
        (0, 0.39, [1]),
        (0, 0.41, [1, 3]),
        (0, 0.84, [1, 3, 4]),
        (0, 0.96, [0, 1, 2, 3, 4]),
        (3, 0.84, [1, 3, 4]),
        (3, 0.81, [1, 3]),
    ],
)
def test_top_k_is_cut_first_and_the_nucleus_is_of_what_it_leaves(
    top_k: int, top_p: float, left: list[int]
) -> None:
    assert cut(PROBABILITIES, top_k, top_p) == (left, False)


def test_equally_likely_tokens_stay_or_go_together() -> None:
    ties = torch.tensor([0.2, 0.1, 0.2, 0.1, 0.2, 0.2])
    assert cut(ties, 1, 1.0) == ([0, 2, 4, 5], False)
    assert cut(ties, 0, 0.5) == ([0, 2, 4, 5], False)
    assert cut(ties, 0, 0.85) == ([0, 1, 2, 3, 4, 5], False)


def test_a_row_says_when_the_candidates_are_too_few() -> None:
    flat = torch.full((4000,), 1 / 4000)
    assert cut(flat, 0, 0.5)[1]
    assert cut(flat, 0, 0.1) == (list(range(4000)), False)
    assert cut(flat, 50, 1.0)[1], "equals reach past the candidates"
    assert cut(flat, 2000, 1.0)[1]
    assert not cut(flat, 0, 1.0)[1]
    assert not cut(flat, 0, 0.5, candidates=4000)[1]
    steep = 0.5 ** torch.arange(1.0, 4001.0)
    assert cut(steep, 0, 0.99) == (list(range(7)), False)
    assert cut(steep, 2000, 1.0)[1] is False, "the least likely have no probability in float32"


def test_each_row_has_its_own_settings() -> None:
    rows = PROBABILITIES.repeat(3, 1)
    cut_tail(rows, torch.tensor([0, 2, 0]), torch.tensor([0.5, 1.0, 1.0]), 1024)
    assert (rows > 0).sum(-1).tolist() == [2, 2, 5]


def test_small_top_k_need_few_candidates() -> None:
    assert candidates_needed([50, 3]) == 64
    assert candidates_needed([64]) == 128
    assert candidates_needed([50, 0]) == 1024
    assert candidates_needed([5000]) == 1024
