"""How many tokens a request cost: every result that counts any has them as ``token_counts``."""

from __future__ import annotations

from typing import NamedTuple


class TokenCounts(NamedTuple):
    """Tokens of the input that a model read, and tokens that it wrote."""

    read: int = 0
    written: int = 0
