"""A transformers model that computes packed steps, if its attention allows it."""

from __future__ import annotations

import logging
from collections.abc import Sequence as Listed
from typing import Any, Protocol

import torch

from deployments.engine.attention import PACKED_ATTENTION, register_attention
from deployments.engine.cuda_graphs import Capture, CudaGraphPool, DecodeGraphs
from deployments.engine.dense_kv_cache import DenseKvCache
from deployments.engine.kv_blocks import BlockPool, BlockTable
from deployments.engine.kv_cache import KvCache, LayerShape, block_bytes, blocks_that_fit
from deployments.engine.packed_step import PackedStep
from deployments.engine.packing_probe import NotPackable, OwnLogits, cached_layers
from deployments.engine.paged_kv_cache import PagedKvCache, fits_kernel
from deployments.engine.step_plan import Chunk

logger = logging.getLogger(__name__)

_LAYER_TYPES = {"full_attention", "sliding_attention"}
"""The kinds of layers, as configurations of transformers name them, that packed steps compute."""

_PROBE_TOKENS = 21
"""Tokens of the probe behind a full block of the KV cache."""


class KvCacheKind(Protocol):
    """A class of KV caches, or a function that makes one."""

    @property
    def block_tokens(self) -> int:
        """Tokens of a block."""
        ...

    def __call__(
        self, shapes: Listed[LayerShape], blocks: int, dtype: torch.dtype, device: torch.device, /
    ) -> KvCache:
        """An empty cache of so many blocks."""
        ...


class PackedModel:
    """A causal language model of transformers whose attention is :func:`.attention.attend`.

    ``graphs`` compute its decode steps where there are any.
    """

    def __init__(self, model: Any, cache: KvCache) -> None:
        self._model = model
        self.cache = cache
        self.graphs: DecodeGraphs | None = None
        self.device: torch.device = model.device
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])

    @classmethod
    def of(
        cls,
        model: Any,
        window: int,
        slots: int,
        gigabytes: float | None,
        *,
        kinds: Listed[KvCacheKind] = (),
        capture: Capture | None = None,
    ) -> PackedModel:
        """``model`` with a KV cache of ``gigabytes`` GiB, see :func:`.blocks_that_fit`.

        The cache is the first of ``kinds`` with which packed logits are those that the model
        computes by itself; by default those that suit its device. On CUDA a paged one comes with
        graphs, elsewhere only if ``capture`` is given. Raises :class:`NotPackable`, and leaves the
        model as it was, when no cache will do.
        """
        _check_architecture(model)
        shapes, dtype = cached_layers(model)
        kind = _first_that_works(
            model, kinds or _kinds(shapes, dtype, model.device), shapes, dtype, window
        )
        size = kind.block_tokens
        blocks = blocks_that_fit(block_bytes(shapes, dtype, size), size, gigabytes, window, slots)
        cache = kind(shapes, blocks, dtype, model.device)
        packed = cls(model, cache)
        if isinstance(cache, PagedKvCache):
            packed._capture(cache, slots, min(window, blocks * size), capture)
        return packed

    @torch.inference_mode()
    def forward(self, step: PackedStep) -> torch.Tensor:
        """The logits of the tokens ``step.sampled``, of shape (sampled, vocabulary).

        They are valid until the next step.
        """
        logits = None if self.graphs is None else self.graphs.forward(step)
        return self._compute(step) if logits is None else logits

    def packed(self, chunks: Listed[Chunk]) -> PackedStep:
        """The chunks of a step as tensors on the model's device."""
        return PackedStep.of(chunks, self.cache, self.device)

    def _compute(self, step: PackedStep) -> torch.Tensor:
        logits: torch.Tensor = self._model(
            input_ids=step.input_ids,
            position_ids=step.position_ids,
            use_cache=False,
            logits_to_keep=step.sampled,
            packed=step,
        ).logits[0]
        return logits

    @torch.inference_mode()
    def _capture(
        self, cache: PagedKvCache, slots: int, window: int, capture: Capture | None
    ) -> None:
        """Capture the graphs; without them, for whatever reason, steps are computed one by one."""
        if capture is None and self.device.type != "cuda":
            return
        try:
            self.graphs = DecodeGraphs(
                self._compute,
                cache,
                max_rows=slots,
                window=window,
                device=self.device,
                capture=capture or CudaGraphPool().capture,
            )
        except RuntimeError as error:
            logger.warning("Without CUDA graphs: %s: %s", type(error).__name__, error)


def _kinds(
    shapes: Listed[LayerShape], dtype: torch.dtype, device: torch.device
) -> list[KvCacheKind]:
    paged = device.type == "cuda" and fits_kernel(shapes, dtype)
    return [PagedKvCache, DenseKvCache] if paged else [DenseKvCache]


def _first_that_works(
    model: Any,
    kinds: Listed[KvCacheKind],
    shapes: Listed[LayerShape],
    dtype: torch.dtype,
    window: int,
) -> KvCacheKind:
    """The first kind of cache that passes the probe. Raises what the last one raises."""
    for kind in kinds[:-1]:
        try:
            _probe(model, kind, shapes, dtype, window)
        except NotPackable as error:
            logger.warning("The model cannot use a paged KV cache: %s", error)
        else:
            return kind
    _probe(model, kinds[-1], shapes, dtype, window)
    return kinds[-1]


def _probe(
    model: Any, kind: KvCacheKind, shapes: Listed[LayerShape], dtype: torch.dtype, window: int
) -> None:
    """Compare packed logits with the model's own, and leave the packed attention in the model.

    The tokens fill more than a block, where the window allows, and the last one is a decode step.
    """
    own = OwnLogits.of(model, min(window, kind.block_tokens + _PROBE_TOKENS))
    own_attention = model.config._attn_implementation
    register_attention()
    model.set_attn_implementation(PACKED_ATTENTION)
    try:
        blocks = sum(-(-len(ids) // kind.block_tokens) for ids in own.probes)
        packed = PackedModel(model, kind(shapes, blocks, dtype, model.device))
        own.check(_packed_logits(packed, own))
    except Exception as error:  # code of any model, which may fail in any way when it is packed
        model.set_attn_implementation(own_attention)
        if isinstance(error, NotPackable | torch.OutOfMemoryError):
            raise
        raise NotPackable(f"a packed step fails: {type(error).__name__}: {error}") from error


def _packed_logits(packed: PackedModel, own: OwnLogits) -> torch.Tensor:
    """The logits after each probe, of shape (probes, vocabulary). All are computed together."""
    pool = BlockPool(packed.cache.blocks, packed.cache.block_tokens, contiguous=False)
    tables = [BlockTable(pool, ids) for ids in own.probes]
    for first, last in own.chunks:
        for table in tables:
            table.reserve(last)
        logits = packed.forward(packed.packed([Chunk(each, first, last) for each in tables]))
    return logits


def _check_architecture(model: Any) -> None:
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        raise NotPackable("its attention cannot be replaced")
    others = set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES
    if others:
        raise NotPackable(f"it has layers of {', '.join(sorted(others))}")
