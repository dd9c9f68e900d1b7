"""Inverse transform sampling: the token at a given place of the cumulative distribution."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

_BLOCK = 128
"""Weights that are summed first. In float32 a running sum over a whole vocabulary would lose what
its small weights add; sums of blocks keep it to about a millionth of the whole."""

_BELOW_ONE = 1.0 - 2.0**-24
"""The largest float32 below 1: a positive number times it is smaller than the number."""


def cumulative(weights: torch.Tensor) -> torch.Tensor:
    """The running sums of each row of float32 ``weights``, of the same shape.

    A sum depends on the weights up to it only: not on other rows, nor on how many weights follow.
    """
    rows, width = weights.shape
    padded = functional.pad(weights, (0, -width % _BLOCK)).view(rows, -1, _BLOCK)
    inside = padded.cumsum(dim=-1)
    before = functional.pad(inside[:, :-1, -1].cumsum(dim=-1), (1, 0))
    return (inside + before[:, :, None]).view(rows, -1)[:, :width]


def draw(weights: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """For each row the first index whose running sum is above the fraction ``at`` of the total.

    ``weights`` are float32 of shape (rows, width), none of them negative, and need not add up to
    one; ``at`` are float32 in [0, 1], of shape (rows,). An index without weight is never drawn. If
    no weight of a row is positive its index has no meaning.
    """
    block, within = _locate(_block_sums(weights), at)
    columns = block[:, None] * _BLOCK + torch.arange(_BLOCK, device=weights.device)
    last = weights.shape[-1] - 1
    inside = weights.gather(1, columns.clamp(max=last)).masked_fill_(columns > last, 0.0)
    return block * _BLOCK + _locate(inside, within)[0]


def _block_sums(weights: torch.Tensor) -> torch.Tensor:
    """Sums of ``_BLOCK`` columns each; the last one may have fewer."""
    whole = weights.shape[-1] // _BLOCK * _BLOCK
    blocks = weights[:, :whole].reshape(len(weights), -1, _BLOCK)
    sums: torch.Tensor = blocks.sum(dim=-1)
    if whole == weights.shape[-1]:
        return sums
    return torch.cat([sums, weights[:, whole:].sum(dim=-1, keepdim=True)], dim=-1)


def _locate(weights: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The drawn index, and the fraction of its own weight that lies below ``at``.

    Running sums where a weight is zero are not looked at: a parallel sum may rise there by a
    rounding error.
    """
    sums = weights.cumsum(dim=-1).masked_fill_(weights <= 0.0, 0.0)
    target = (at.clamp(max=_BELOW_ONE) * sums.amax(dim=-1))[:, None]
    index = (sums > target).int().argmax(dim=-1, keepdim=True)
    weight = weights.gather(1, index)
    before = sums.gather(1, index) - weight
    within = ((target - before) / weight).clamp_(0.0, 1.0)
    return index[:, 0], within[:, 0]
