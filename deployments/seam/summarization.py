"""Summaries across the seam."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """Texts to summarise greedily, each in ``min_new_tokens`` to ``max_new_tokens`` tokens."""

    request_id: str
    model: str
    texts: tuple[str, ...]
    max_new_tokens: int
    min_new_tokens: int = 0
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    text: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """One summary a text, in order, or why it has none."""

    items: tuple[Summary | Problem, ...]

    @property
    def token_counts(self) -> TokenCounts:
        written = [item for item in self.items if isinstance(item, Summary)]
        return TokenCounts(
            sum(summary.prompt_tokens for summary in written),
            sum(summary.tokens for summary in written),
        )
