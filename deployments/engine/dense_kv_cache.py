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
    """Keys and values in tensors of the shape (1, heads, slots, size), two for each layer.

    A range of neighbouring slots is a view, which attention reads in place; a sequence in several
    ranges is copied together first. The query heads that share a key head become further queries
    of that head, so that keys and values are not repeated.
    """

    contiguous = True
    block_tokens = BLOCK_TOKENS

    def __init__(
        self, shapes: Listed[LayerShape], blocks: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.blocks = blocks

        def empty(heads: int, size: int) -> torch.Tensor:
            return torch.empty(1, heads, blocks * BLOCK_TOKENS, size, dtype=dtype, device=device)

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
        keys.index_copy_(2, step.slots, key[None])
        values.index_copy_(2, step.slots, value[None])
        (heads, _, size), key_heads = query.shape, keys.shape[1]
        queries = query.view(key_heads, heads // key_heads, -1, size)
        decoding = step.decoding
        parts = list[torch.Tensor]()
        if decoding:
            rows = torch.chunk(queries[:, :, :decoding].permute(2, 0, 1, 3).contiguous(), decoding)
            pairs = zip(rows, step.chunks[:decoding], strict=True)
            found = [_attend(row, keys, values, chunk, None, options) for row, chunk in pairs]
            parts.append(torch.cat(found).view(decoding, heads, -1))
        for chunk in step.chunks[decoding:]:
            mask = step.mask(chunk, heads // key_heads, options.window, query.dtype)
            of_chunk = queries[:, :, chunk.begin : chunk.end].reshape(1, key_heads, -1, size)
            out = _attend(of_chunk, keys, values, chunk, mask, options)
            parts.append(out.reshape(heads, chunk.queries, -1).transpose(0, 1))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    chunk: PackedChunk,
    mask: torch.Tensor | None,
    options: AttentionOptions,
) -> torch.Tensor:
    """The output for the queries of one chunk, of shape (1, key heads, queries, size).

    Without a ``mask`` they see all tokens up to themselves, or the last ones of a window.
    """
    keys, values = _joined(keys, chunk.extents), _joined(values, chunk.extents)
    if mask is None and options.window is not None:
        keys, values = keys[:, :, -options.window :], values[:, :, -options.window :]
    if options.softcap is None:
        return scaled_dot_product_attention(query, keys, values, mask, scale=options.scaling)
    return _softcapped(query, keys, values, mask, options.scaling, options.softcap)


def _joined(tensor: torch.Tensor, extents: Listed[tuple[int, int]]) -> torch.Tensor:
    parts = [tensor.narrow(2, first, last - first) for first, last in extents]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


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
