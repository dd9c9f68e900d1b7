"""Top-k and nucleus sampling: the thresholds below which probabilities are cut off."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from deployments.engine.inverse_cdf import cumulative
from deployments.engine.order_statistics import largest
from deployments.engine.tuning import MAX_CANDIDATES

_LEAST = 2.0**-126
"""The smallest normal float32; what is less likely is never drawn."""

_ALMOST_ONE = 1.0 - 2.0**-22
"""What is above it is one or more, whichever way a device rounds its divisions.

A division and a threshold are ten times as fast on a CPU as a comparison and a masked fill."""


def cut_tail(
    probabilities: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, candidates: int
) -> torch.Tensor:
    """Weights of what is in the top-k and in the nucleus of each row, zero elsewhere, in place.

    ``probabilities`` are float32 of shape (rows, vocabulary), each row adding up to one. ``top_k``
    are whole numbers, 0 is off; ``top_p`` are float32 above 0, of which 1 is off; both of shape
    (rows,). The nucleus (Holtzman et al., arXiv:1904.09751) is the smallest set of the most likely
    tokens that has ``top_p`` of what top-k leaves. Tokens as likely as the last one of a set, up to
    rounding, belong to it too, so that it depends neither on the device nor on an order of tokens.
    The weights of a row are in proportion to its probabilities.

    Returns which rows need more than the ``candidates`` most likely tokens, of shape (rows,); those
    were not cut right.
    """
    width = probabilities.shape[-1]
    best = largest(probabilities, min(candidates, width))
    last = best[:, -1]
    kth = best.gather(1, (top_k - 1).clamp(0, best.shape[-1] - 1)[:, None])[:, 0]
    kth = kth.masked_fill(top_k == 0, 0.0)
    sums = cumulative(best.masked_fill(best < kth[:, None], 0.0))
    within = torch.where(top_k == 0, 1.0, sums[:, -1])
    before = functional.pad(sums[:, :-1], (1, 0))
    size = (before < (top_p * within)[:, None]).sum(dim=-1).clamp(min=1)
    threshold = best.gather(1, (size - 1)[:, None])[:, 0]
    threshold = torch.where(top_p < 1.0, torch.maximum(threshold, kth), kth)
    probabilities.div_(threshold.clamp(min=_LEAST)[:, None])
    torch.threshold_(probabilities, _ALMOST_ONE, 0.0)
    if best.shape[-1] == width:
        return torch.zeros_like(last, dtype=torch.bool)
    beyond = torch.where(top_k == 0, (top_p < 1.0) & (sums[:, -1] < top_p), last >= kth)
    return beyond & (last > 0.0)


def candidates_needed(top_k: list[int]) -> int:
    """How many candidates suffice for rows with these ``top_k`` unless equals reach past them."""
    if 0 in top_k:
        return MAX_CANDIDATES
    return min(MAX_CANDIDATES, 1 << max(top_k, default=0).bit_length())
