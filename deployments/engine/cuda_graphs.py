"""CUDA graphs of decode steps: the whole forward as one launch, at a few numbers of rows.

A decode step of a small model is some hundred short kernels, and launching them from Python takes
longer than they do. A graph is captured once, with fixed shapes and addresses, and replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch

from deployments.engine.attention_metadata import AttentionMetadata
from deployments.engine.packed_step import PackedStep
from deployments.engine.paged_kv_cache import PagedKvCache

_MAX_ERROR = 0.1
"""How far a graph's logits may be from those without it, in standard deviations of those."""

Compute: TypeAlias = Callable[[], torch.Tensor]
"""Computes the logits of the buffers; as a graph, it always returns the same tensor."""

Capture: TypeAlias = Callable[[Compute], Compute]
"""Makes a graph of what a function computes."""


class DecodeGraphs:
    """Graphs of a model's decode steps at 1, 2, 4, 8, … rows, up to ``max_rows``.

    ``forward`` computes a step, and ``capture`` makes a graph of that. A step is copied into the
    buffers that the graphs read. Rows beyond the step's own are padding: they write to the cache's
    scratch page and read one token. Logits are valid until the next step.
    """

    def __init__(
        self,
        forward: Callable[[PackedStep], torch.Tensor],
        cache: PagedKvCache,
        *,
        max_rows: int,
        window: int,
        device: torch.device,
        capture: Capture,
    ) -> None:
        self._inputs = _Inputs(cache, max_rows, -(-window // cache.block_tokens), device)
        self._graphs: dict[int, Compute] = {}
        # The largest first: the smaller ones find room in its memory.
        for rows in reversed(_sizes(max_rows)):
            compute = partial(forward, self._inputs.step(rows))
            self._graphs[rows] = capture(compute)
            _check(self._graphs[rows](), compute())

    def forward(self, step: PackedStep) -> torch.Tensor | None:
        """The logits of a step, of shape (rows, vocabulary); ``None`` if no graph computes it."""
        rows = len(step.chunks)
        size = min((each for each in self._graphs if each >= rows), default=None)
        if size is None or not step.decodes_only or not self._inputs.fill(step, size):
            return None
        return self._graphs[size]()[:rows]


def _sizes(max_rows: int) -> list[int]:
    """Powers of two below ``max_rows``, and ``max_rows`` itself."""
    return [*(2**n for n in range(max(0, max_rows - 1).bit_length())), max_rows]


def _check(replayed: torch.Tensor, computed: torch.Tensor) -> None:
    """Compare a graph's logits with those of the same forward without it."""
    replayed, computed = replayed.float().clone(), computed.float()
    error = float((replayed - computed).abs().max() / computed.std().clamp_min(1e-6))
    if not error <= _MAX_ERROR:
        raise RuntimeError(f"the logits of a graph are {error:.2g} standard deviations off")


class _Inputs:
    """The buffers that graphs read; a graph of fewer rows reads the first ones."""

    def __init__(self, cache: PagedKvCache, rows: int, pages: int, device: torch.device) -> None:
        self._cache = cache
        page = cache.scratch_page
        self._idle = torch.tensor([[0], [0], [page * cache.block_tokens]], device=device)
        self._tokens = self._idle.repeat(1, rows)  # ids, positions, slots
        self._every = torch.arange(rows, device=device)
        self._cu_seq_q = torch.arange(rows + 1, dtype=torch.int32, device=device)
        self._contexts = torch.ones(rows, dtype=torch.int32, device=device)
        self._pages = torch.full((rows, pages), page, dtype=torch.int32, device=device)

    def step(self, rows: int) -> PackedStep:
        """A decode step of so many rows, over the buffers."""
        pages = self._pages[:rows]
        metadata = AttentionMetadata(
            cu_seq_q=self._cu_seq_q[: rows + 1],
            seqused_k=self._contexts[:rows],
            block_table=pages,
            max_q=1,
            max_k=pages.shape[1] * self._cache.block_tokens,
        )
        return PackedStep(
            cache=self._cache,
            input_ids=self._tokens[0:1, :rows],
            position_ids=self._tokens[1:2, :rows],
            slots=self._tokens[2, :rows],
            sampled=self._every[:rows],
            chunks=(),
            _metadata=metadata,
        )

    def fill(self, step: PackedStep, size: int) -> bool:
        """Copy a step to the first rows, and padding up to ``size``; false if it has more pages
        than there is room for."""
        rows, metadata = len(step.chunks), step.metadata()
        width = metadata.block_table.shape[1]
        if width > self._pages.shape[1]:
            return False
        self._tokens[0, :rows].copy_(step.input_ids[0])
        self._tokens[1, :rows].copy_(step.position_ids[0])
        self._tokens[2, :rows].copy_(step.slots)
        self._contexts[:rows].copy_(metadata.seqused_k)
        self._pages[:rows, :width].copy_(metadata.block_table)
        if rows < size:
            self._tokens[:, rows:size] = self._idle
            self._contexts[rows:size] = 1
            self._pages[rows:size, 0] = self._cache.scratch_page
        return True


class CudaGraphPool:
    """Captures CUDA graphs that share one pool of memory, since one is replayed at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, compute: Compute) -> Compute:
        """A graph of ``compute``, which is called twice: libraries allocate at the first call."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            compute()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of a replica may compute with other models meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = compute()

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay
