from __future__ import annotations

import pytest
import torch

from deployments.engine.inverse_cdf import cumulative, draw
from deployments.engine.uniform import UniformNumbers


def test_draws_follow_the_weights() -> None:
    numbers = UniformNumbers(3)
    weights = torch.tensor([0.2, 0.0, 1.2, 0.6]).expand(20_000, 4)
    at = torch.tensor([numbers.at(position) for position in range(20_000)])
    frequencies = torch.bincount(draw(weights, at), minlength=4) / 20_000
    assert (frequencies - torch.tensor([0.1, 0.0, 0.6, 0.3])).abs().max() < 0.01
    assert frequencies[1] == 0


@pytest.mark.parametrize("width", [1, 127, 128, 129, 1000, 50_257])
def test_a_draw_inverts_the_distribution(width: int) -> None:
    torch.manual_seed(0)
    weights = torch.rand(64, width) ** 8
    at = torch.rand(64)
    exact = weights.double().cumsum(-1)
    exact = exact / exact[:, -1:]
    index = draw(weights, at)[:, None]
    below = torch.nn.functional.pad(exact, (1, 0)).gather(1, index)[:, 0]
    above = exact.gather(1, index)[:, 0]
    assert (below - 1e-6 <= at).all()
    assert (at <= above + 1e-6).all()


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0 - 2.0**-24, 1.0])
def test_an_index_without_weight_is_never_drawn(at: float) -> None:
    weights = torch.zeros(3, 700)
    weights[0, 300] = 1e-30
    weights[1, [129, 699]] = torch.tensor([1.0, 1e-9])
    weights[2, [0, 500]] = 0.5
    drawn = draw(weights, torch.full((3,), at))
    assert (weights.gather(1, drawn[:, None]) > 0).all()


def test_a_row_without_weights_has_some_index() -> None:
    weights = torch.stack([torch.zeros(300), torch.full((300,), torch.nan)])
    assert ((draw(weights, torch.rand(2)) >= 0) & (draw(weights, torch.rand(2)) < 300)).all()


def test_running_sums_keep_small_weights() -> None:
    flat = torch.full((1, 150_000), 1 / 150_000)
    assert (cumulative(flat) - torch.arange(1, 150_001) / 150_000).abs().max() < 1e-6


def test_running_sums_do_not_depend_on_what_follows_or_on_other_rows() -> None:
    torch.manual_seed(0)
    weights = torch.rand(5, 1000)
    sums = cumulative(weights)
    assert torch.equal(cumulative(weights[2:3, :333]), sums[2:3, :333])
