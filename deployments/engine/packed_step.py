"""One step as tensors: the tokens of all its chunks packed into one row."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass, field
from itertools import chain, pairwise

import torch

from deployments.engine.attention_metadata import AttentionMetadata, on_device
from deployments.engine.kv_cache import KvCache
from deployments.engine.step_plan import Chunk


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """One chunk of a packed row: its queries are the row's tokens ``begin`` to ``end`` (exclusive).

    They attend to the first ``context`` tokens of their sequence, themselves included, which lie in
    ``blocks`` of the KV cache. ``extents`` are the slots of these tokens, as ranges.
    """

    begin: int
    end: int
    context: int
    blocks: Listed[int]
    extents: Listed[tuple[int, int]]

    @property
    def queries(self) -> int:
        return self.end - self.begin


@dataclass(slots=True)
class PackedStep:
    """The input of one forward. All tensors are on the model's device.

    ``input_ids`` and ``position_ids`` have the shape (1, tokens), ``slots`` (tokens,). The logits
    that are wanted are those of the tokens ``sampled``: one for each chunk that ends a sequence,
    then ``scored`` ones, from which the prompts' next tokens get their log-probabilities.
    """

    cache: KvCache
    input_ids: torch.Tensor
    position_ids: torch.Tensor
    slots: torch.Tensor
    sampled: torch.Tensor
    chunks: Listed[PackedChunk]
    scored: int = 0
    _masks: dict[tuple[int, int, int | None], torch.Tensor] = field(default_factory=dict)
    _metadata: AttentionMetadata | None = None

    @classmethod
    def of(cls, chunks: Listed[Chunk], cache: KvCache, device: torch.device) -> PackedStep:
        ids = chain.from_iterable(each.table.token_ids[each.first : each.last] for each in chunks)
        positions = chain.from_iterable(range(each.first, each.last) for each in chunks)
        slots = chain.from_iterable(each.table.slots(each.first, each.last) for each in chunks)
        ends = [0]
        for each in chunks:
            ends.append(ends[-1] + each.last - each.first)
        sampled = [end - 1 for each, end in zip(chunks, ends[1:], strict=True) if each.samples]
        scored = [
            row
            for each, begin in zip(chunks, ends, strict=False)
            for row in range(begin, begin + each.scored)
        ]
        packed = on_device([*ids, *positions, *slots, *sampled, *scored], torch.long, device)
        rows = packed[: 3 * ends[-1]].view(3, ends[-1])
        return cls(
            cache=cache,
            input_ids=rows[0:1],
            position_ids=rows[1:2],
            slots=rows[2],
            sampled=packed[3 * ends[-1] :],
            chunks=[
                PackedChunk(begin, end, each.last, each.table.blocks, each.table.extents(each.last))
                for each, (begin, end) in zip(chunks, pairwise(ends), strict=True)
            ],
            scored=len(scored),
        )

    @property
    def decoding(self) -> int:
        """How many of the first chunks are one token."""
        count = 0
        while count < len(self.chunks) and self.chunks[count].queries == 1:
            count += 1
        return count

    @property
    def decodes_only(self) -> bool:
        """Whether every chunk is one token whose logits are wanted."""
        return not self.scored and len(self.chunks) == self.slots.shape[0] == self.sampled.shape[0]

    def metadata(self) -> AttentionMetadata:
        """What a kernel for paged attention needs, made once for all layers."""
        if self._metadata is None:
            pages = [
                each.blocks[: -(-each.context // self.cache.block_tokens)] for each in self.chunks
            ]
            self._metadata = AttentionMetadata.of(
                [each.queries for each in self.chunks],
                [each.context for each in self.chunks],
                pages,
                self.slots.device,
            )
        return self._metadata

    def mask(
        self, chunk: PackedChunk, groups: int, window: int | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """The additive causal mask of a chunk, made once for all layers.

        Its shape is (groups * queries, context). ``window`` is how many tokens a query sees in
        sliding-window attention.
        """
        key = (chunk.begin, groups, window)
        if key not in self._masks:
            device = self.slots.device
            seen = torch.arange(chunk.context, device=device)
            at = seen[-chunk.queries :, None]
            hidden = seen > at
            if window is not None:
                hidden |= seen <= at - window
            mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
            self._masks[key] = mask.masked_fill_(hidden, float("-inf")).repeat(groups, 1)
        return self._masks[key]
