"""The KV cache budget of models that decode one sequence at a time: what sequences may take."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.prepacked_linear import prepacked_bytes
from deployments.engine.sequence import Sequence

_CACHED_TENSORS = ("keys", "values")


@dataclass(frozen=True, slots=True)
class KvCacheBudget:
    """``total_bytes`` for the KV caches of all sequences together, ``token_bytes`` of each token.

    ``window`` is how many tokens one sequence may have. ``token_bytes`` is 0 for models whose state
    does not grow.
    """

    total_bytes: int
    token_bytes: int
    window: int

    @classmethod
    def measured(cls, model: Any, window: int, gigabytes: float | None) -> KvCacheBudget:
        """The budget of ``gigabytes`` GiB; ``None`` is one GiB, or a full window if that is more.

        Raises ``EngineNotLoaded`` when it holds less than two tokens.
        """
        token_bytes = _cache_bytes_per_token(model)
        window_bytes = window * token_bytes
        total = max(2**30, window_bytes) if gigabytes is None else int(gigabytes * 2**30)
        if total < 2 * token_bytes:
            raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than two tokens")
        return cls(total, token_bytes, window if window_bytes <= total else total // token_bytes)

    def usage(self, sequences: Listed[Sequence]) -> float:
        """The fraction that these sequences take, each with its next token."""
        tokens = sum(len(each.prompt_ids) + len(each.generated) + 1 for each in sequences)
        return tokens * self.token_bytes / self.total_bytes


@torch.inference_mode()
def _cache_bytes_per_token(model: Any) -> int:
    """By how much a KV cache grows with a token: measured, since it depends on the model class."""
    cache, sizes = DynamicCache(config=model.config), [0]
    for _ in range(2):
        ids = torch.tensor([[0]], device=model.device)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        tensors = [getattr(layer, name, None) for layer in cache.layers for name in _CACHED_TENSORS]
        sizes.append(sum(each.nbytes for each in tensors if isinstance(each, torch.Tensor)))
    return sizes[2] - sizes[1]


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters, buffers and packed weights; tied ones count once."""
    parts = {part.data_ptr(): part for part in (*model.parameters(), *model.buffers())}
    plain = sum(part.numel() * part.element_size() for part in parts.values())
    return plain + prepacked_bytes(model)
