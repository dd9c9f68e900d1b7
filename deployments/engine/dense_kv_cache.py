"""The KV cache wherever there is no kernel for paged attention: sequences are read one by one."""

from __future__ import annotations

from collections.abc import Sequence as Listed

import torch
from torch.nn.functional import scaled_dot_product_attention

from deployments.engine.kv_cache import AttentionOptions, LayerShape
from deployments.engine.packed_step import PackedChunk, PackedStep

BLOCK_TOKENS = 16
"""Shared prefixes are found in whole blocks; smaller ones leave less of a prompt to compute."""


class DenseKvCache:
    """Keys and values in tensors of the shape (heads, slots, size), two for each layer.

    A range of neighbouring slots is a view, which attention reads in place; a sequence in several
    ranges is copied together first.
    """

    contiguous = True
    block_tokens = BLOCK_TOKENS

    def __init__(
        self, shapes: Listed[LayerShape], blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.blocks = blocks

        def empty(heads: int, size: int) -> torch.Tensor:
            return torch.empty(heads, blocks * BLOCK_TOKENS, size, dtype=dtype, device=device)

        self._keys = [empty(each.heads, each.key_size) for each in shapes]
        self._values = [empty(each.heads, each.value_size) for each in shapes]

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
        keys, values = self._keys[layer], self._values[layer]
        keys.index_copy_(1, step.slots, key)
        values.index_copy_(1, step.slots, value)
        parts = [
            _attend(
                step,
                chunk,
                query[:, chunk.begin : chunk.end],
                _joined(keys, chunk.extents),
                _joined(values, chunk.extents),
                options,
            )
            for chunk in step.chunks
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _joined(tensor: torch.Tensor, extents: Listed[tuple[int, int]]) -> torch.Tensor:
    parts = [tensor[:, first:last] for first, last in extents]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _attend(
    step: PackedStep,
    chunk: PackedChunk,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    options: AttentionOptions,
) -> torch.Tensor:
    """The output of one chunk, of shape (queries, heads, size).

    The query heads that share a key head become further queries of that head, so that keys and
    values are not repeated.
    """
    heads, count, _ = query.shape
    groups = heads // keys.shape[0]
    query = query.reshape(keys.shape[0], groups * count, -1)
    mask = None
    if count > 1:
        mask = step.mask(chunk, groups, options.window, query.dtype)
    elif options.window is not None:
        keys, values = keys[:, -options.window :], values[:, -options.window :]
    if options.softcap is None:
        out = scaled_dot_product_attention(
            query[None], keys[None], values[None], mask, scale=options.scaling
        )
    else:
        out = _softcapped(query, keys, values, mask, options.scaling, options.softcap)
    return out.reshape(heads, count, -1).transpose(0, 1)


def _softcapped(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(query @ keys.transpose(-1, -2) * scale / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    return torch.softmax(scores.float(), dim=-1).to(query.dtype) @ values
