"""A transformers model that computes packed steps, if its attention allows it."""

from __future__ import annotations

from collections.abc import Sequence as Listed
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

_PROBE_TOKENS = 37
_PROBE_CHUNK = 19
_MAX_PROBE_ERROR = {torch.float32: 1e-3}
_MAX_HALF_PROBE_ERROR = 0.1
"""How far logits of packed steps may be from the model's own, in standard deviations of those:
rounding is far below that, and attention to the wrong tokens is far above."""


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
        ids = [index % 97 + 1 for index in range(_PROBE_TOKENS)]
        logits, shapes, dtype = _own_logits(model, ids)
        size = DenseKvCache.block_tokens
        each = block_bytes(shapes, dtype, size)
        blocks = blocks_that_fit(each, size, gigabytes, window, slots)
        register_attention()
        own_attention = model.config._attn_implementation
        model.set_attn_implementation(PACKED_ATTENTION)
        try:
            probe = cls(model, DenseKvCache(shapes, _PROBE_TOKENS, dtype, model.device))
            _check_logits(probe._probed(ids), logits, dtype)
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

    def _probed(self, ids: list[int]) -> torch.Tensor:
        """The logits after ``ids``, which are computed in chunks beside another sequence."""
        pool = BlockPool(self.cache.blocks, self.cache.block_tokens, contiguous=False)
        other = BlockTable(pool, ids[::-1])
        table = BlockTable(pool, ids)
        for first in range(0, len(ids), _PROBE_CHUNK):
            last = min(first + _PROBE_CHUNK, len(ids))
            chunks = [Chunk(each, first, last) for each in (other, table)]
            for each in chunks:
                each.table.reserve(last)
            logits = self.forward(self.packed(chunks))
        return logits[-1]


def _check_architecture(model: Any) -> None:
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        raise NotPackable("its attention cannot be replaced")
    others = set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES
    if others:
        raise NotPackable(f"it has layers of {', '.join(sorted(others))}")


@torch.inference_mode()
def _own_logits(model: Any, ids: list[int]) -> tuple[torch.Tensor, list[LayerShape], torch.dtype]:
    """The model's logits after ``ids``, and what its layers cache for each token."""
    cache = DynamicCache(config=model.config)
    logits = model(
        input_ids=torch.tensor([ids], device=model.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[0, -1]
    shapes, dtype = list[LayerShape](), model.dtype
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if not isinstance(keys, torch.Tensor) or not isinstance(values, torch.Tensor):
            raise NotPackable("a layer has another state than keys and values")
        shapes.append(LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1]))
        dtype = keys.dtype
    if not shapes:
        raise NotPackable("it has no KV cache")
    return logits, shapes, dtype


def _check_logits(packed: torch.Tensor, own: torch.Tensor, dtype: torch.dtype) -> None:
    packed, own = packed.float(), own.float()
    error = float((packed - own).abs().max() / own.std().clamp_min(1e-6))
    if not error <= _MAX_PROBE_ERROR.get(dtype, _MAX_HALF_PROBE_ERROR):
        raise NotPackable(f"its packed logits are {error:.2g} standard deviations off")
