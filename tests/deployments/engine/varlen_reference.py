"""``varlen_attn`` of torch over pages, in plain torch operations: what the kernel computes."""

from __future__ import annotations

from itertools import pairwise

import torch


def varlen_reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: torch.Tensor,
    block_table: torch.Tensor,
) -> torch.Tensor:
    """Queries are aligned with the last of the ``seqused_k`` keys of their sequence."""
    assert cu_seq_k is None
    assert enable_gqa
    assert {cu_seq_q.dtype, seqused_k.dtype, block_table.dtype} == {torch.int32}
    assert key.shape[1] % 256 == 0
    ends = cu_seq_q.tolist()
    assert max_q >= max(end - begin for begin, end in pairwise(ends))
    assert max_k >= int(seqused_k.max())
    left, right = window_size
    parts = []
    for row, (begin, end) in enumerate(pairwise(ends)):
        used = int(seqused_k[row])
        pages = block_table[row, : -(-used // key.shape[1])].long()
        keys, values = (each[pages].flatten(0, 1)[:used] for each in (key, value))
        groups = query.shape[1] // keys.shape[1]
        keys, values = (each.repeat_interleave(groups, dim=1) for each in (keys, values))
        at = torch.arange(used - (end - begin), used)[:, None]
        seen = torch.arange(used)
        hidden = torch.zeros(end - begin, used, dtype=torch.bool)
        if left >= 0:
            hidden |= seen < at - left
        if right >= 0:
            hidden |= seen > at + right
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        scores = torch.einsum("qhd,khd->hqk", query[begin:end], keys) * factor
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        parts.append(torch.einsum("hqk,khd->qhd", weights, values))
    return torch.cat(parts)
