"""The request and the result of summarizing texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class SummaryRequest:
    """Texts to summarize greedily, each in ``min_new_tokens`` to ``max_new_tokens`` tokens."""

    request_id: str
    model: str
    texts: tuple[str, ...]
    max_new_tokens: int
    min_new_tokens: int = 0
    truncate: bool = False


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
