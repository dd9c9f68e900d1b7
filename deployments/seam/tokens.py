"""Token counts of results, which every result that counts tokens has as ``token_counts``."""

from __future__ import annotations

from typing import NamedTuple


class TokenCounts(NamedTuple):
    """Tokens that a model read (``prompt``) and wrote (``completion``) for one result."""

    prompt: int = 0
    completion: int = 0


class CountsPromptTokens:
    """Base of results about texts: ``tokens`` has how many tokens were read of each text."""

    __slots__ = ()
    tokens: tuple[int, ...]

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(prompt=sum(self.tokens))
