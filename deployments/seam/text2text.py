"""The request and the result of sequence-to-sequence models: translations, and other texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deployments.seam.problems import Problem
from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class Text2TextRequest:
    """Texts from which a model writes one text each, greedily, in up to ``max_new_tokens`` tokens.

    The languages are codes of the model. ``translate`` asks for a translation, for which some
    models need to know them.
    """

    model: str
    texts: tuple[str, ...]
    translate: bool = False
    source_lang: str | None = None
    target_lang: str | None = None
    max_new_tokens: int | None = None
    truncate: bool = False


class Text2TextOutput(NamedTuple):
    """``prompt_tokens`` were read for ``text``, which has ``tokens`` tokens."""

    text: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Text2TextResult:
    """For each text, in order, what the model wrote, or a problem."""

    items: tuple[Text2TextOutput | Problem, ...]

    @property
    def token_counts(self) -> TokenCounts:
        written = [item for item in self.items if isinstance(item, Text2TextOutput)]
        return TokenCounts(
            sum(item.prompt_tokens for item in written), sum(item.tokens for item in written)
        )
