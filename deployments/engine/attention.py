"""Attention of packed steps, in place of transformers' own.

transformers lets a model call any attention function that is registered by name
(``transformers.AttentionInterface``), and hands it the keyword arguments of the model's call.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

from deployments.engine.kv_cache import AttentionOptions
from deployments.engine.packed_step import PackedStep

PACKED_ATTENTION = "prsm_packed"
"""The name of the attention function among transformers' own."""


def register_attention() -> None:
    """Make :func:`attend` known to transformers. Idempotent."""
    AttentionInterface.register(PACKED_ATTENTION, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packed: PackedStep,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer over one packed row, as transformers calls it.

    ``query`` has the shape (1, heads, tokens, size), ``key`` and ``value`` (1, key heads, tokens,
    size). Returns (1, tokens, heads, size). Raises ``ValueError`` for models with attention sinks
    (``s_aux``) or a bias by position.
    """
    if s_aux is not None or position_bias is not None:
        raise ValueError("attention sinks and position biases cannot be packed")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    options = AttentionOptions(scaling, sliding_window, softcap)
    out = packed.cache.attend(layer, packed, query[0], key[0], value[0], options)
    return out[None], None
