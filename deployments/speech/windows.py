"""Cuts a recording into the windows of 30 s that Whisper reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deployments.speech.recording import Recording, Samples

MIN_WINDOW_S = 0.1
"""A shorter rest at the end of a recording is left out: the model would make words up for it."""


class WindowOptions(NamedTuple):
    """The options of a window, from the request. Only windows with equal ones share a forward.

    ``prompt`` has the tokens of the text before it.
    """

    translate: bool = False
    prompt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """One window: ``features`` of shape (mel bins, frames), of which ``seconds`` are no padding.

    ``language`` is its token; ``None`` if the model has to find it out.
    """

    features: npt.NDArray[np.float32]
    seconds: float
    options: WindowOptions
    language: int | None = None

    @property
    def nbytes(self) -> int:
        return self.features.nbytes


class DecodedWindow(NamedTuple):
    """The tokens of one window, with its timestamp tokens, without the end token.

    ``language`` is the token of its language, ``prompt_tokens`` the length of the decoder prompt,
    ``avg_logprob`` the mean log-probability of the tokens, ``no_speech`` the probability that
    nothing is said.
    """

    tokens: tuple[int, ...]
    language: int | None
    prompt_tokens: int
    avg_logprob: float
    no_speech: float


class WindowReader:
    """Makes one window after the other. Both methods only in one thread at a time."""

    def __init__(self, recording: Recording, extractor: Any) -> None:
        self._recording = recording
        self._extractor = extractor
        self._rate = int(extractor.sampling_rate)
        self._length = int(extractor.n_samples)
        self._samples: Samples = np.zeros(0, np.float32)
        self.seek = 0.0
        """Where the next window begins, in seconds."""

    @property
    def seconds(self) -> float:
        """The length of the recording, as far as it was read."""
        return self._recording.seconds

    def advance(self, seconds: float) -> None:
        """Let the next window begin so much later."""
        samples = min(round(seconds * self._rate), len(self._samples))
        self._samples = self._samples[samples:].copy()
        self.seek += samples / self._rate

    def next(self, options: WindowOptions, language: int | None) -> SpeechWindow | None:
        """The window that begins at ``seek``; ``None`` at the end of the recording.

        Raises :class:`~deployments.speech.recording.RecordingError`.
        """
        more = self._recording.read(self._length - len(self._samples))
        self._samples = np.concatenate([self._samples, more])
        seconds = len(self._samples) / self._rate
        if not seconds or (self.seek and seconds < MIN_WINDOW_S):
            return None
        features = self._extractor(
            self._samples, sampling_rate=self._rate, return_tensors="np"
        ).input_features[0]
        return SpeechWindow(features.astype(np.float32, copy=False), seconds, options, language)
