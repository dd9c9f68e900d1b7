"""Log-probabilities of sampled tokens and of the most likely ones in their place."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from deployments.seam.generation import TokenLogprob

if TYPE_CHECKING:
    from deployments.engine.codec import TextCodec

_TOP = 32
"""Most likely tokens that are always read, so that which of equal ones are reported depends neither
on how many a client asks for nor on other rows."""


class SampledRow(NamedTuple):
    """A row of logits, the token sampled from it, how many of the most likely tokens to report, and
    the ids of tokens to report besides."""

    row: int
    token_id: int
    top_logprobs: int
    logprob_token_ids: tuple[int, ...] = ()


def token_logprobs(
    logits: torch.Tensor, rows: Listed[SampledRow], codec: TextCodec
) -> list[TokenLogprob]:
    """The log-probabilities of ``rows``, from raw ``logits`` of shape (all rows, vocabulary).

    Equally likely tokens are in the order of their ids.
    """
    taken = torch.tensor([each.row for each in rows], device=logits.device)
    logprobs = torch.log_softmax(logits[taken].float(), dim=-1)
    width = logprobs.shape[-1]
    count = min(width, max(_TOP, *(each.top_logprobs for each in rows)))
    best = torch.topk(logprobs, count, dim=-1)
    ids = zip_longest(*((each.token_id, *each.logprob_token_ids) for each in rows), fillvalue=0)
    chosen = torch.tensor(list(ids), device=logits.device).T
    values = torch.cat([logprobs.gather(1, chosen), best.values], dim=-1)
    packed = torch.cat([values.view(torch.int32), best.indices.int()], dim=-1).cpu().numpy()
    return [
        _logprob(each, numbers[:-count].view(np.float32).tolist(), numbers[-count:].tolist(), codec)
        for each, numbers in zip(rows, packed, strict=True)
    ]


def _logprob(
    row: SampledRow, values: list[float], best_ids: list[int], codec: TextCodec
) -> TokenLogprob:
    """``values`` are the log-probabilities of the sampled token, of the requested tokens
    and, as the last ones, of ``best_ids``."""
    logprob, *requested = values[: -len(best_ids)]
    best = values[-len(best_ids) :]
    ordered = sorted(zip(best, best_ids, strict=True), key=lambda pair: (-pair[0], pair[1]))
    top = ordered[: row.top_logprobs]
    ids = tuple(token_id for _, token_id in top)
    return TokenLogprob(
        codec.token_text(row.token_id),
        logprob,
        codec.token_bytes(row.token_id),
        tuple((codec.token_text(each), value, codec.token_bytes(each)) for value, each in top),
        ids,
        codec.special_ids.intersection(ids),
        of_token_ids=tuple(requested[: len(row.logprob_token_ids)]),
    )
