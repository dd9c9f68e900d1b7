"""What a kernel for paged attention needs to know of a step, as tensors: made once for all layers.

Also the copy to the device that all inputs of a step take.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True, slots=True)
class AttentionMetadata:
    """The sequences of one packed row, in the terms of ``torch.nn.attention.varlen``.

    All tensors are int32. ``cu_seq_q`` has the shape (sequences + 1,): the queries of sequence i
    are the row's tokens ``cu_seq_q[i]`` to ``cu_seq_q[i + 1]``. They attend to the first
    ``seqused_k[i]`` tokens of their sequence, which lie in the pages ``block_table[i]``. ``max_q``
    and ``max_k`` are the longest of both.
    """

    cu_seq_q: torch.Tensor
    seqused_k: torch.Tensor
    block_table: torch.Tensor
    max_q: int
    max_k: int

    @classmethod
    def of(
        cls,
        queries: Listed[int],
        contexts: Listed[int],
        blocks: Listed[Listed[int]],
        device: torch.device,
    ) -> AttentionMetadata:
        """For each sequence its queries, its tokens, and the blocks that hold these."""
        count, width = len(queries), max(len(each) for each in blocks)
        flat = [*accumulate(queries, initial=0), *contexts]
        for each in blocks:
            flat += [*each, *[0] * (width - len(each))]
        ints = on_device(flat, torch.int32, device)
        return cls(
            cu_seq_q=ints[: count + 1],
            seqused_k=ints[count + 1 : 2 * count + 1],
            block_table=ints[2 * count + 1 :].view(count, width),
            max_q=max(queries),
            max_k=max(contexts),
        )


def on_device(values: Listed[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """``values`` as a tensor on ``device``, with one copy.

    To CUDA it goes through pinned memory, and the host does not wait for it. Torch does not reuse
    the pinned memory before the copy has ended.
    """
    pinned = device.type == "cuda"
    host = torch.tensor(values, dtype=dtype, pin_memory=pinned)
    return host.to(device, non_blocking=pinned)
