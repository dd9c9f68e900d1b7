"""Estimates what OpenVINO's prefix cache still holds, which the library does not tell."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from deployments.engine.sequence import Sequence
from deployments.engine.tuning import REMEMBERED_PROMPTS


@dataclass(frozen=True, slots=True)
class _Cached:
    """``tokens`` were in the cache when ``at`` tokens had been computed in all."""

    tokens: int
    at: int


class PrefixCacheEstimate:
    """How many first tokens of a sequence are in a prefix cache of ``capacity`` tokens.

    Blocks without a sequence are evicted as others are computed, the oldest first. So a prefix
    counts as cached until a quarter of the capacity was computed after it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._computed = 0
        self._sequences: WeakKeyDictionary[Sequence, _Cached] = WeakKeyDictionary()
        self._prompts: LRUCache[tuple[int, ...], _Cached] = LRUCache(REMEMBERED_PROMPTS)

    def compute(self, tokens: int) -> None:
        """Count tokens that were prefilled or decoded."""
        self._computed += tokens

    def remember(self, sequence: Sequence, tokens: int) -> None:
        """The first ``tokens`` of this sequence are in the cache."""
        self._sequences[sequence] = _Cached(tokens, self._computed)

    def remember_prompt(self, prompt_ids: tuple[int, ...]) -> None:
        """All of this prompt is in the cache, for other sequences that have the same."""
        self._prompts[prompt_ids] = _Cached(len(prompt_ids), self._computed)

    def cached_tokens(self, sequence: Sequence) -> int:
        """How many of its first tokens are in the cache; 0 when in doubt."""
        own, shared = self._sequences.get(sequence), self._prompts.get(sequence.prompt_ids)
        return max(self._still_cached(own), self._still_cached(shared))

    def _still_cached(self, cached: _Cached | None) -> int:
        if cached is None or (self._computed - cached.at) * 4 > self._capacity:
            return 0
        return cached.tokens
