"""Log-probabilities in the shape of ``/v1/completions``, and where in a text each token begins."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any

from deployments.seam.generation import GeneratedSequence, TokenLogprob

UTF_8 = getincrementaldecoder("utf-8")


class Offsets:
    """Counts where in a text each of its tokens begins, in characters.

    A token may be part of a character: the character begins with the first of its tokens, and all
    of them are there.
    """

    def __init__(self) -> None:
        self._decoder = UTF_8(errors="replace")
        self._at = 0

    def of(self, token: TokenLogprob, *, special: bool) -> int:
        """The offset of the next token; ``special`` ones have no text."""
        at = self._at
        if not special:
            self._at += len(self._decoder.decode(token.raw))
        return at


def offsets_of(choice: GeneratedSequence) -> list[int]:
    """Tokens of a stop string that ended the text are at its end, for it is not part of it."""
    offsets = Offsets()
    special = choice.special or (False,) * len(choice.logprobs)
    pairs = zip(choice.logprobs, special, strict=True)
    return [min(offsets.of(each, special=mark), len(choice.text)) for each, mark in pairs]


def older_logprobs(logprobs: tuple[TokenLogprob, ...], offsets: list[int]) -> dict[str, Any]:
    """The endpoint's own shape; ``text_offset`` counts characters from the answer's start.

    ``top_logprobs`` have the chosen token too, and may have one more than was asked for.
    """
    return {
        "tokens": [item.text for item in logprobs],
        "token_logprobs": [item.logprob for item in logprobs],
        "top_logprobs": [_alternatives(item) for item in logprobs],
        "text_offset": offsets,
    }


def _alternatives(token: TokenLogprob) -> dict[str, float]:
    """By text, the likeliest first; of tokens with the same text the likeliest counts."""
    found: dict[str, float] = {}
    for text, value, _ in token.top:
        found.setdefault(text, value)
    found.setdefault(token.text, token.logprob)
    return found
