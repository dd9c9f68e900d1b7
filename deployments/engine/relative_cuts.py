"""Min-p and typical sampling: cut tokens off by how likely they are beside the others."""

from __future__ import annotations

import torch

from deployments.engine.inverse_cdf import cumulative


def cut_unlikely(weights: torch.Tensor, min_p: torch.Tensor) -> None:
    """Drop, in place, tokens below ``min_p`` times the likeliest one's probability.

    ``weights`` are float32 of shape (rows, vocabulary), in proportion to probabilities; ``min_p``
    of shape (rows,), of which 0 is off. Min-p sampling is arXiv:2407.01082.
    """
    least = min_p * weights.amax(dim=-1)
    weights.masked_fill_(weights < least[:, None], 0.0)


def cut_atypical(weights: torch.Tensor, typical_p: torch.Tensor) -> None:
    """Keep, in place, the tokens whose information is closest to the entropy of their row, as few
    of them as have ``typical_p`` of the probability.

    ``weights`` are as of :func:`cut_unlikely`; of ``typical_p`` 1 is off. Tokens as close as the
    last one are kept too. Locally typical sampling is arXiv:2202.00666; transformers'
    ``TypicalLogitsWarper`` keeps the same tokens.
    """
    probabilities = weights / weights.sum(dim=-1, keepdim=True)
    entropy = torch.special.entr(probabilities).sum(dim=-1, keepdim=True)
    distance = (probabilities.log() + entropy).abs_()  # infinite for what is cut already
    order = distance.sort(dim=-1)
    sums = cumulative(probabilities.gather(1, order.indices))
    last = (sums < typical_p[:, None]).sum(dim=-1).clamp_(max=weights.shape[-1] - 1)
    farthest = order.values.gather(1, last[:, None])
    farthest.masked_fill_(typical_p[:, None] >= 1.0, torch.inf)
    weights.masked_fill_(distance > farthest, 0.0)
