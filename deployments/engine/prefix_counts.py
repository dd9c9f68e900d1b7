"""How often prompts begin with tokens whose keys and values are in the KV cache already."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefixCounts:
    """Tokens of prompts since an engine's start: all that were looked up, and those found.

    The tokens that were found need no prefill. Whole blocks alone are found.
    """

    queries: int = 0
    hits: int = 0

    def since(self, earlier: PrefixCounts) -> PrefixCounts:
        """What was counted after ``earlier``, by the same engine."""
        return PrefixCounts(self.queries - earlier.queries, self.hits - earlier.hits)
