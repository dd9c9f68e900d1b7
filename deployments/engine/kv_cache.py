"""What the KV cache of packed steps is to its model: blocks of tokens, and attention over them."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from configs.engines import DEFAULT_KV_CACHE_GB
from deployments.engine.interface import EngineNotLoaded
from deployments.engine.tuning import CACHED_WINDOWS

if TYPE_CHECKING:
    from deployments.engine.packed_step import PackedStep


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a layer caches for each token: ``heads`` keys of ``key_size`` and as many values."""

    heads: int
    key_size: int
    value_size: int


@dataclass(frozen=True, slots=True)
class AttentionOptions:
    """How a layer attends.

    Scores are multiplied by ``scaling`` (``None``: by one over the root of the key size). A query
    sees ``window`` tokens, itself included, or all. ``softcap`` bounds scores by a hyperbolic
    tangent (Gemma 2, arXiv:2408.00118).
    """

    scaling: float | None = None
    window: int | None = None
    softcap: float | None = None


class KvCache(Protocol):
    """Keys and values of all running sequences, in ``blocks`` blocks of ``block_tokens`` tokens.

    A token lies at its slot, ``block * block_tokens + offset``. ``contiguous`` caches read
    neighbouring blocks faster.
    """

    blocks: int
    block_tokens: int
    contiguous: bool

    def attend(
        self,
        layer: int,
        step: PackedStep,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        options: AttentionOptions,
    ) -> torch.Tensor:
        """Store the keys and values of a step at its slots; each token then attends to the tokens
        of its own sequence up to itself.

        ``query`` has the shape (heads, tokens, size), ``key`` and ``value`` (key heads, tokens,
        size) with as many or fewer heads. Returns (tokens, heads, size).
        """
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        ...


def block_bytes(shapes: Listed[LayerShape], dtype: torch.dtype, block_tokens: int) -> int:
    """Bytes of one block in all layers."""
    values = sum(each.heads * (each.key_size + each.value_size) for each in shapes)
    return values * dtype.itemsize * block_tokens


def blocks_that_fit(
    bytes_each: int, block_tokens: int, gigabytes: float | None, window: int, slots: int
) -> int:
    """How many blocks ``gigabytes`` GiB hold. Raises ``EngineNotLoaded`` when there is none.

    ``None`` is the default size: more if one full ``window`` needs more, and less if ``slots`` full
    windows and the prefixes of some more need less.
    """
    if gigabytes is None:
        full = -(-window // block_tokens)
        enough = (slots + CACHED_WINDOWS) * full
        return min(enough, max(full, int(DEFAULT_KV_CACHE_GB * 2**30) // bytes_each))
    blocks = int(gigabytes * 2**30) // bytes_each
    if blocks < 1:
        raise EngineNotLoaded(f"{gigabytes} GB of KV cache hold less than {block_tokens} tokens")
    return blocks
