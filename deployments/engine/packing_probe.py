"""The probe of packed steps: what a model caches, and which logits it computes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.kv_cache import LayerShape

_PROBES = 4
_MAX_ERROR = {torch.float32: 1e-3}
_MAX_HALF_ERROR = 0.05
"""How far logits of packed steps may be from the model's own, as a root mean square in standard
deviations of those. In half precision a deep model differs by more from itself, when it reads the
same tokens in chunks: packed logits may be off by twice that."""


class NotPackable(ValueError):
    """The model cannot compute packed steps; the message says why."""


@dataclass(frozen=True, slots=True)
class OwnLogits:
    """The logits that a model computes by itself after each probe: at once, and in chunks.

    Both have the shape (probes, vocabulary). ``probes`` are token ids of one length, and ``chunks``
    the bounds of their pieces, the last of which is one token.
    """

    probes: list[list[int]]
    whole: torch.Tensor
    in_chunks: torch.Tensor

    @classmethod
    @torch.inference_mode()
    def of(cls, model: Any, tokens: int) -> OwnLogits:
        """For probes of so many tokens."""
        probes = [
            [(index * (probe + 3) + probe) % 97 + 1 for index in range(tokens)]
            for probe in range(_PROBES)
        ]
        whole, in_chunks = (
            torch.stack([_last_logits(model, ids, bounds) for ids in probes])
            for bounds in ([0, tokens], _bounds(tokens))
        )
        return cls(probes, whole, in_chunks)

    @property
    def chunks(self) -> list[tuple[int, int]]:
        return list(pairwise(_bounds(len(self.probes[0]))))

    def check(self, packed: torch.Tensor) -> None:
        """Raises :class:`NotPackable` when ``packed`` logits are not these, up to rounding."""
        error, own_error = self._error(packed), self._error(self.in_chunks)
        limit = max(_MAX_ERROR.get(self.whole.dtype, _MAX_HALF_ERROR), 2 * own_error)
        if not error <= limit:
            raise NotPackable(f"its packed logits are {error:.2g} standard deviations off")

    def _error(self, logits: torch.Tensor) -> float:
        difference = logits.float() - self.whole.float()
        return float(difference.square().mean().sqrt() / self.whole.float().std().clamp_min(1e-6))


def _bounds(tokens: int) -> list[int]:
    return sorted({0, (tokens + 1) // 2, tokens - 1, tokens})


def _last_logits(model: Any, ids: list[int], bounds: list[int]) -> torch.Tensor:
    cache = DynamicCache(config=model.config)
    for first, last in pairwise(bounds):
        logits: torch.Tensor = model(
            input_ids=torch.tensor([ids[first:last]], device=model.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[0, -1]
    return logits


@torch.inference_mode()
def cached_layers(model: Any) -> tuple[list[LayerShape], torch.dtype]:
    """What the model's layers cache for each token: measured, since it depends on its class.

    Raises :class:`NotPackable` when that is not keys and values.
    """
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.tensor([[1]], device=model.device), past_key_values=cache, use_cache=True)
    shapes, dtype = list[LayerShape](), model.dtype
    for layer in cache.layers:
        keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
        if not isinstance(keys, torch.Tensor) or not isinstance(values, torch.Tensor):
            raise NotPackable("a layer has another state than keys and values")
        shapes.append(LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1]))
        dtype = keys.dtype
    if not shapes:
        raise NotPackable("it has no KV cache")
    return shapes, dtype
