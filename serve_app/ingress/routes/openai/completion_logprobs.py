"""Log-probabilities in the shape of ``/v1/completions``, and where in a text each token begins."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Any

from deployments.seam.generation import GeneratedSequence, PromptLogprobs, TokenLogprob

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

    def piece(self, token: TokenLogprob, *, special: bool) -> dict[str, Any]:
        """The log-probabilities of the next token of a stream."""
        return _shaped((token,), [self.of(token, special=special)])


def logprobs_of(choice: GeneratedSequence) -> dict[str, Any]:
    """The log-probabilities of a whole text."""
    return _shaped(choice.logprobs, _offsets(Offsets(), choice, len(choice.text)))


def echoed_logprobs(prompt: PromptLogprobs, choice: GeneratedSequence | None) -> dict[str, Any]:
    """Log-probabilities of a prompt and, if there is a choice, of the text generated after it.

    The first token has none: nothing precedes it.
    """
    offsets = Offsets()
    pairs = zip(prompt.tokens, prompt.special, strict=True)
    tokens, places = prompt.tokens, [offsets.of(each, special=mark) for each, mark in pairs]
    if choice is not None:
        tokens += choice.logprobs
        places += _offsets(offsets, choice, len(prompt.text) + len(choice.text))
    shaped = _shaped(tokens, places)
    shaped["token_logprobs"][0] = shaped["top_logprobs"][0] = None
    return shaped


def _offsets(offsets: Offsets, choice: GeneratedSequence, end: int) -> list[int]:
    """The offset of each token. A stop string is not part of the text, so its tokens get the offset
    of the text's end."""
    special = choice.special or (False,) * len(choice.logprobs)
    pairs = zip(choice.logprobs, special, strict=True)
    return [min(offsets.of(each, special=mark), end) for each, mark in pairs]


def _shaped(logprobs: tuple[TokenLogprob, ...], offsets: list[int]) -> dict[str, Any]:
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
