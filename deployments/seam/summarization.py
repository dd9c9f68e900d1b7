"""The request and the result of summarizing texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """Texts to summarize greedily, each in ``min_new_tokens`` to ``max_new_tokens`` tokens.

    ``default_max`` and ``default_min`` tell which of these bounds the client left to the service:
    they are lowered to what a model can write, where one that the client gave is refused.
    """

    request_id: str
    model: str
    texts: tuple[str, ...]
    max_new_tokens: int
    min_new_tokens: int = 0
    truncate: bool = False
    default_max: bool = False
    default_min: bool = False

    def within(self, limit: int) -> SummaryRequest:
        """The request with its default bounds lowered to ``limit`` tokens."""
        longest = min(self.max_new_tokens, limit) if self.default_max else self.max_new_tokens
        shortest = min(self.min_new_tokens, longest) if self.default_min else self.min_new_tokens
        return replace(self, max_new_tokens=longest, min_new_tokens=shortest)


class Summary(NamedTuple):
    """``prompt_tokens`` were read for ``text``, which has ``tokens`` tokens."""

    text: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """For each text, in order, its summary or a problem."""

    items: tuple[Summary | Problem, ...]

    @property
    def token_counts(self) -> TokenCounts:
        written = [item for item in self.items if isinstance(item, Summary)]
        return TokenCounts(
            sum(summary.prompt_tokens for summary in written),
            sum(summary.tokens for summary in written),
        )
