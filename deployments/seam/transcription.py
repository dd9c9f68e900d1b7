"""The request and the result of speech recognition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deployments.seam.tokens import TokenCounts


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One recording to write down: ``audio`` is a WAV or FLAC file whose header was checked.

    ``language`` is what is spoken, as a code or a name in English; by default the model finds out.
    ``translate`` asks for English, whatever is spoken. ``prompt`` is text that might have come
    before, whose words and spelling the model follows.
    """

    model: str
    audio: bytes
    language: str | None = None
    translate: bool = False
    prompt: str | None = None


class Segment(NamedTuple):
    """A part of the recording, from ``start`` to ``end`` in seconds.

    ``text`` begins with a space where the language has spaces. ``tokens`` has its timestamps, too.
    ``seek`` is where the window began that the segment was found in, ``avg_logprob`` the mean
    log-probability of the window's tokens, ``no_speech`` the probability that nothing is said in
    it, and ``compression_ratio`` the bytes of its text by those of the same text compressed.
    """

    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    seek: float
    avg_logprob: float
    no_speech: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class TranscriptionResult:
    """What was said, in order; ``language`` is its code, ``seconds`` the recording's length.

    ``prompt_tokens`` counts the tokens of the decoder prompts of all windows.
    """

    segments: tuple[Segment, ...]
    language: str
    seconds: float
    prompt_tokens: int
    completion_tokens: int

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def token_counts(self) -> TokenCounts:
        return TokenCounts(self.prompt_tokens, self.completion_tokens)
