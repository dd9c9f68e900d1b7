"""Puts the windows of a recording together."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from deployments.seam.transcription import Segment, TranscriptionResult
from deployments.speech.timestamps import split_segments
from deployments.speech.whisper_tokens import WhisperTokens
from deployments.speech.windows import DecodedWindow, SpeechWindow

NO_SPEECH = 0.6
UNLIKELY = -1.0
"""A window is silent if it has probably no speech, and its text is unlikely as well: the defaults
of https://github.com/openai/whisper/blob/main/whisper/transcribe.py."""


class Transcript:
    """The segments of one recording so far.

    ``language`` is the token of the recording's one language: the given one, or that of the first
    window in which something is said. It is ``None`` before that.
    """

    def __init__(self, tokenizer: Any, tokens: WhisperTokens, language: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._segments: list[Segment] = []
        self.language = language
        self._language_of_silence: int | None = None
        self._prompt_tokens = self._completion_tokens = 0

    def add(self, window: SpeechWindow, seek: float, decoded: DecodedWindow) -> float:
        """Add the segments of ``window``, which begins at ``seek``; the seconds it covers."""
        self._prompt_tokens += decoded.prompt_tokens
        self._completion_tokens += len(decoded.tokens)
        if decoded.no_speech > NO_SPEECH and decoded.avg_logprob < UNLIKELY:
            self._language_of_silence = decoded.language
            return window.seconds
        self.language = decoded.language
        segments, advance = split_segments(
            decoded.tokens, self._tokens.timestamp_begin, window.seconds
        )
        ratio = _compression_ratio(self._text(decoded.tokens))
        for start, end, tokens in segments:
            text = self._text(tokens)
            if text.strip() and end > start:
                self._segments.append(
                    Segment(
                        round(seek + start, 3),
                        round(seek + end, 3),
                        text,
                        tokens,
                        round(seek, 3),
                        decoded.avg_logprob,
                        decoded.no_speech,
                        ratio,
                    )
                )
        return advance

    def _text(self, tokens: Iterable[int]) -> str:
        words = [token for token in tokens if token < self._tokens.end]
        text: str = self._tokenizer.decode(words, skip_special_tokens=True)
        return text

    def result(self, seconds: float) -> TranscriptionResult:
        """All of it, of a recording of so many ``seconds``."""
        language = self._language_of_silence if self.language is None else self.language
        return TranscriptionResult(
            tuple(self._segments),
            self._tokens.code_of(language),
            seconds,
            self._prompt_tokens,
            self._completion_tokens,
        )


def _compression_ratio(text: str) -> float:
    """High for a text that repeats itself."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
