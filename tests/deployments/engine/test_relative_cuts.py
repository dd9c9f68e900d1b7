from __future__ import annotations

import pytest
import torch
from transformers import TypicalLogitsWarper

from deployments.engine.relative_cuts import cut_atypical, cut_unlikely


@pytest.mark.parametrize("mass", [0.05, 0.2, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_typical_sampling_keeps_what_transformers_keeps(mass: float, spread: float) -> None:
    torch.manual_seed(5)
    logits = spread * torch.randn(16, 3000)
    logits[3, 1000:] = -torch.inf  # as top-k and grammars leave a row
    kept = TypicalLogitsWarper(mass)(torch.empty(0), logits.double()).isfinite()
    weights = 1e6 * torch.softmax(logits, dim=-1)
    cut = weights.clone()
    cut_atypical(cut, torch.full((16,), mass))
    assert ((cut > 0) != kept).sum() <= 1, "a rounding error may move a row's last token"
    assert torch.equal(cut[cut > 0], weights[cut > 0])


def test_rows_that_did_not_ask_for_it_are_not_cut() -> None:
    torch.manual_seed(6)
    weights = torch.softmax(9 * torch.randn(4, 500), dim=-1)
    cut = weights.clone()
    cut_atypical(cut, torch.tensor([1.0, 0.2, 1.0, 0.2]))
    assert torch.equal(cut[::2], weights[::2])
    assert ((cut > 0).sum(dim=-1) < (weights > 0).sum(dim=-1)).tolist() == [False, True] * 2
    cut_unlikely(weights, torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert (weights > 0).sum(dim=-1).tolist()[1::2] == [1, 1]
    assert (weights > 0).sum(dim=-1).tolist()[::2] == (cut > 0).sum(dim=-1).tolist()[::2]


def test_one_certain_token_is_typical() -> None:
    weights = torch.tensor([[0.0, 3.0, 0.0]])
    cut_atypical(weights, torch.tensor([0.1]))
    assert weights.tolist() == [[0.0, 3.0, 0.0]]
