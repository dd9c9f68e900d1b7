"""How much KV memory an engine on torch has, and what its sequences take of it."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from deployments.engine.interface import EngineNotLoaded
from deployments.engine.sequence import Sequence

_CACHED = ("keys", "values")


@dataclass(frozen=True, slots=True)
class KvMemory:
    """The bytes of all KV caches of an engine, those of one token in them, and its window."""

    total_bytes: int
    token_bytes: int
    window: int

    @classmethod
    def measured(cls, model: Any, window: int, gigabytes: float | None) -> KvMemory:
        """Raises ``EngineNotLoaded`` when ``gigabytes`` hold less than two tokens."""
        token_bytes = _cache_bytes_per_token(model)
        whole = window * token_bytes
        total = max(2**30, whole) if gigabytes is None else int(gigabytes * 2**30)
        if total < 2 * token_bytes:
            raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than two tokens")
        return cls(total, token_bytes, window if whole <= total else total // token_bytes)

    def usage(self, sequences: Listed[Sequence]) -> float:
        """The part of it that these take, with the next token of each."""
        tokens = sum(len(each.prompt_ids) + len(each.generated) + 1 for each in sequences)
        return tokens * self.token_bytes / self.total_bytes


@torch.inference_mode()
def _cache_bytes_per_token(model: Any) -> int:
    """By how much a cache grows with a token; 0 for models whose state does not grow."""
    cache, sizes = DynamicCache(config=model.config), [0]
    for _ in range(2):
        ids = torch.tensor([[0]], device=model.device)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        tensors = [getattr(layer, name, None) for layer in cache.layers for name in _CACHED]
        sizes.append(sum(each.nbytes for each in tensors if isinstance(each, torch.Tensor)))
    return sizes[2] - sizes[1]
