"""Estimates what OpenVINO's prefix cache still holds, which the library does not tell."""

from __future__ import annotations

from collections.abc import Iterator

from cachetools import LRUCache

from deployments.engine.openvino.genai_config import KV_BLOCK_TOKENS


class PrefixCacheEstimate:
    """How many first tokens of a text are in a prefix cache of ``capacity`` tokens.

    The cache keeps blocks of tokens, each of which counts together with all before it: texts that
    begin alike share blocks. Those without a sequence are evicted as others are computed, the
    oldest first, so a block counts as cached until a quarter of the capacity was computed after it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._computed = 0
        self._remembered_at: LRUCache[int, int] = LRUCache(max(1, capacity // KV_BLOCK_TOKENS))

    def compute(self, tokens: int) -> None:
        """Count tokens that were prefilled or decoded."""
        self._computed += tokens

    def remember(self, token_ids: tuple[int, ...]) -> None:
        """These tokens, from the beginning of a text, are in the cache."""
        for _, block in _blocks(token_ids):
            self._remembered_at[block] = self._computed

    def cached_tokens(self, token_ids: tuple[int, ...]) -> int:
        """How many of the first tokens of a text are in the cache; fewer when in doubt."""
        cached = 0
        for end, block in _blocks(token_ids):
            at = self._remembered_at.get(block)
            if at is None or (self._computed - at) * 4 > self._capacity:
                break
            cached = end
        return cached


def _blocks(token_ids: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The end of each block, the last one perhaps not full, and a hash of all tokens up to it.

    Two texts of one hash would only cost a longer step than planned.
    """
    before = 0
    for first in range(0, len(token_ids), KV_BLOCK_TOKENS):
        block = token_ids[first : first + KV_BLOCK_TOKENS]
        before = hash((before, block))
        yield first + len(block), before
