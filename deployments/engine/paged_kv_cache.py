"""The KV cache on CUDA: pages, and one call of a kernel a layer for all sequences of a step.

The kernel is flash attention (Dao, arXiv:2307.08691), by ``torch.nn.attention.varlen``.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Listed
from typing import Any, TypeAlias

import torch

from deployments.engine.kv_cache import AttentionOptions, LayerShape
from deployments.engine.packed_step import PackedStep

PAGE_TOKENS = 256
"""The kernel takes pages of multiples of so many tokens."""

MAX_HEAD_SIZE = 256
_HEAD_SIZE_STEP = 8
"""The kernel takes heads of multiples of so many numbers, up to ``MAX_HEAD_SIZE``."""

_DTYPES = {torch.float16, torch.bfloat16}

VarlenAttention: TypeAlias = Callable[..., Any]
"""A function with the arguments of ``torch.nn.attention.varlen.varlen_attn``."""


def fits_kernel(shapes: Listed[LayerShape], dtype: torch.dtype) -> bool:
    """Whether the kernel takes all of these layers."""
    sizes = {(each.key_size, each.value_size) for each in shapes}
    return dtype in _DTYPES and all(
        keys == values and keys <= MAX_HEAD_SIZE and keys % _HEAD_SIZE_STEP == 0
        for keys, values in sizes
    )


class PagedKvCache:
    """Keys and values in tensors of the shape (pages, page tokens, heads, size), two a layer.

    There is one page more than ``blocks``: padding is written to ``scratch_page``, which belongs to
    no sequence. ``attention`` is torch's own, unless a test brings another one.
    """

    contiguous = False
    block_tokens = PAGE_TOKENS

    def __init__(
        self,
        shapes: Listed[LayerShape],
        blocks: int,
        dtype: torch.dtype,
        device: torch.device,
        attention: VarlenAttention | None = None,
    ) -> None:
        self.blocks = blocks
        self.scratch_page = blocks
        self._attention = attention or _torch_attention()

        def pages(heads: int, size: int) -> torch.Tensor:
            # Zeros: the kernel reads whole pages, and what it masks must not be a NaN.
            return torch.zeros(blocks + 1, PAGE_TOKENS, heads, size, dtype=dtype, device=device)

        self._keys = [pages(each.heads, each.key_size) for each in shapes]
        self._values = [pages(each.heads, each.value_size) for each in shapes]

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in (*self._keys, *self._values))

    def attend(
        self,
        layer: int,
        step: PackedStep,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        options: AttentionOptions,
    ) -> torch.Tensor:
        """As :meth:`.KvCache.attend`. Raises ``ValueError`` for layers that bound their scores."""
        if options.softcap is not None:
            raise ValueError("the kernel for paged attention has no softcap")
        keys, values = self._keys[layer], self._values[layer]
        keys.flatten(0, 1).index_copy_(0, step.slots, key.transpose(0, 1))
        values.flatten(0, 1).index_copy_(0, step.slots, value.transpose(0, 1))
        metadata = step.metadata()
        out: torch.Tensor = self._attention(
            query.transpose(0, 1),
            keys,
            values,
            metadata.cu_seq_q,
            None,
            metadata.max_q,
            metadata.max_k,
            scale=options.scaling,
            window_size=_window(options.window, metadata.max_q, metadata.max_k),
            enable_gqa=True,
            seqused_k=metadata.seqused_k,
            block_table=metadata.block_table,
        )
        return out


def _window(tokens: int | None, max_q: int, max_k: int) -> tuple[int, int]:
    """How many tokens a query sees before and behind itself; -1 is all.

    The last query of a sequence is its last token. Steps in which there is no other query need no
    bound, without which the kernel packs the heads of a group together and splits long sequences.
    """
    if tokens is None or tokens >= max_k:
        return (-1, 0) if max_q > 1 else (-1, -1)
    return tokens - 1, 0


def _torch_attention() -> VarlenAttention:
    from torch.nn.attention.varlen import varlen_attn  # not in every torch that runs the rest

    return varlen_attn
