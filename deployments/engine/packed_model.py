"""A transformers model that computes packed steps, if its attention allows it."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.attention import PACKED_ATTENTION, register_attention
from deployments.engine.dense_kv_cache import DenseKvCache
from deployments.engine.kv_blocks import BlockPool, BlockTable
from deployments.engine.kv_cache import KvCache, LayerShape, block_bytes, blocks_that_fit
from deployments.engine.packed_step import PackedStep
from deployments.engine.step_plan import Chunk

_LAYER_TYPES = {"full_attention", "sliding_attention"}
"""The kinds of layers, as configurations of transformers name them, that packed steps compute."""

_PROBES = 4
_PROBE_TOKENS = 37
_PROBE_CHUNK = 19
_MAX_PROBE_ERROR = {torch.float32: 1e-3}
_MAX_HALF_PROBE_ERROR = 0.05
"""How far logits of packed steps may be from the model's own, as a root mean square in standard
deviations of those. In half precision a deep model differs by more from itself, when it reads the
same tokens in two chunks: packed logits may be off by twice that."""


class NotPackable(ValueError):
    """The model cannot compute packed steps; the message says why."""


class PackedModel:
    """A causal language model of transformers whose attention is :func:`.attention.attend`."""

    def __init__(self, model: Any, cache: KvCache) -> None:
        self._model = model
        self.cache = cache
        self.device: torch.device = model.device
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])

    @classmethod
    def of(cls, model: Any, window: int, slots: int, gigabytes: float | None) -> PackedModel:
        """``model`` with a KV cache of ``gigabytes`` GiB, see :func:`.blocks_that_fit`.

        Raises :class:`NotPackable`, and leaves the model as it was,
        when its packed logits are not those that it computes by itself.
        """
        _check_architecture(model)
        own = OwnLogits.of(model)
        shapes, dtype = own.shapes, own.dtype
        size = DenseKvCache.block_tokens
        each = block_bytes(shapes, dtype, size)
        blocks = blocks_that_fit(each, size, gigabytes, window, slots)
        register_attention()
        own_attention = model.config._attn_implementation
        model.set_attn_implementation(PACKED_ATTENTION)
        try:
            probe = cls(model, DenseKvCache(shapes, _PROBES * _PROBE_TOKENS, dtype, model.device))
            own.check(probe._probed())
        except Exception as error:
            model.set_attn_implementation(own_attention)
            if isinstance(error, NotPackable):
                raise
            raise NotPackable(f"a packed step fails: {type(error).__name__}: {error}") from error
        return cls(model, DenseKvCache(shapes, blocks, dtype, model.device))

    @torch.inference_mode()
    def forward(self, step: PackedStep) -> torch.Tensor:
        """The logits of the sampled tokens of a step, of shape (sampled, vocabulary)."""
        logits: torch.Tensor = self._model(
            input_ids=step.input_ids,
            position_ids=step.position_ids,
            use_cache=False,
            logits_to_keep=step.sampled,
            packed=step,
        ).logits[0]
        return logits

    def packed(self, chunks: Listed[Chunk]) -> PackedStep:
        """The chunks of a step as tensors on the model's device."""
        return PackedStep.of(chunks, self.cache, self.device)

    def _probed(self) -> torch.Tensor:
        """The logits after each probe, of shape (probes, vocabulary). All are computed together."""
        pool = BlockPool(self.cache.blocks, self.cache.block_tokens, contiguous=False)
        tables = [BlockTable(pool, ids) for ids in _probes()]
        for first in range(0, _PROBE_TOKENS, _PROBE_CHUNK):
            last = min(first + _PROBE_CHUNK, _PROBE_TOKENS)
            for each in tables:
                each.reserve(last)
            logits = self.forward(self.packed([Chunk(each, first, last) for each in tables]))
        return logits


@dataclass(frozen=True, slots=True)
class OwnLogits:
    """The logits that a model computes by itself after each probe: at once, and in two chunks.

    Both have the shape (probes, vocabulary). ``shapes`` and ``dtype`` are of what its layers cache.
    """

    whole: torch.Tensor
    in_chunks: torch.Tensor
    shapes: list[LayerShape]
    dtype: torch.dtype

    @classmethod
    @torch.inference_mode()
    def of(cls, model: Any) -> OwnLogits:
        whole, in_chunks = list[torch.Tensor](), list[torch.Tensor]()
        for ids in _probes():
            for found, size in ((whole, _PROBE_TOKENS), (in_chunks, _PROBE_CHUNK)):
                cache = DynamicCache(config=model.config)
                for first in range(0, _PROBE_TOKENS, size):
                    chunk = torch.tensor([ids[first : first + size]], device=model.device)
                    logits = model(
                        input_ids=chunk, past_key_values=cache, use_cache=True, logits_to_keep=1
                    ).logits[0, -1]
                found.append(logits)
        shapes, dtype = _cached(cache, model.dtype)
        return cls(torch.stack(whole), torch.stack(in_chunks), shapes, dtype)

    def check(self, packed: torch.Tensor) -> None:
        """Raises :class:`NotPackable` when ``packed`` logits are not these, up to rounding."""
        error, own_error = self._error(packed), self._error(self.in_chunks)
        limit = max(_MAX_PROBE_ERROR.get(self.dtype, _MAX_HALF_PROBE_ERROR), 2 * own_error)
        if not error <= limit:
            raise NotPackable(f"its packed logits are {error:.2g} standard deviations off")

    def _error(self, logits: torch.Tensor) -> float:
        difference = logits.float() - self.whole.float()
        return float(difference.square().mean().sqrt() / self.whole.float().std().clamp_min(1e-6))


def _probes() -> list[list[int]]:
    return [
        [(index * (probe + 3) + probe) % 97 + 1 for index in range(_PROBE_TOKENS)]
        for probe in range(_PROBES)
    ]


def _check_architecture(model: Any) -> None:
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        raise NotPackable("its attention cannot be replaced")
    others = set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES
    if others:
        raise NotPackable(f"it has layers of {', '.join(sorted(others))}")


def _cached(cache: DynamicCache, dtype: torch.dtype) -> tuple[list[LayerShape], torch.dtype]:
    shapes = list[LayerShape]()
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if not isinstance(keys, torch.Tensor) or not isinstance(values, torch.Tensor):
            raise NotPackable("a layer has another state than keys and values")
        shapes.append(LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1]))
        dtype = keys.dtype
    if not shapes:
        raise NotPackable("it has no KV cache")
    return shapes, dtype
