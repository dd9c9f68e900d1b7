"""The request and the result of filling in masked words."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.seam.problems import Problem
from deployments.seam.tokens import CountsPromptTokens


@dataclass(frozen=True, slots=True)
class FillMaskRequest:
    """Texts that each have the model's mask token once, in the place of the word to find.

    The ``top_k`` likeliest tokens are found, of ``targets`` if there are any: words that are one
    token of the model.
    """

    model: str
    texts: tuple[str, ...]
    top_k: int = 5
    targets: tuple[str, ...] = ()
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class TokenPrediction:
    """A token for the place of the mask: its id, its text, and the text with it in the place."""

    token_id: int
    token: str
    score: float
    sequence: str


@dataclass(frozen=True, slots=True)
class FillMaskResult(CountsPromptTokens):
    """For each text, in order, tokens for the mask, likeliest first, or a problem.

    ``tokens`` has the tokens read for each text.
    """

    items: tuple[tuple[TokenPrediction, ...] | Problem, ...]
    tokens: tuple[int, ...] = ()
