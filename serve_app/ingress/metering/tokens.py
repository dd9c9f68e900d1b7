"""How many tokens the model side read and wrote for an answer."""

from __future__ import annotations

from typing import Any

from deployments.seam.tokens import TokenCounts

NONE = TokenCounts()


def tokens_of(answer: Any) -> TokenCounts:
    """The answer's own ``token_counts``; zero where it has none, as those about images."""
    counts: TokenCounts = getattr(answer, "token_counts", NONE)
    return counts
