"""Decodes an audio file piece by piece, so that its memory does not depend on its length."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from deployments.seam.audio_files import AudioHeaderError, audio_format, read_audio_header
from deployments.seam.problems import Problem

Samples = npt.NDArray[np.float32]

BLOCK_FRAMES = 16_384
"""Frames that are decoded in one go: up to half a megabyte."""

CONTAINERS = frozenset({"WAV", "WAVEX", "FLAC"})

DAMAGED = Problem("validation", "the audio is damaged or cut short", "audio")


class RecordingError(Exception):
    """The file cannot be transcribed; ``problem`` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Recording:
    """The samples of an audio file: mono, from -1 to 1, at ``rate`` Hz, in order.

    Only one thread at a time may read. Raises :class:`RecordingError` for a file that cannot be
    decoded, that has no samples, fewer than its header claims or some that are no numbers, that is
    longer than ``max_seconds``, or whose channels have more than ``max_samples`` together.
    """

    def __init__(self, raw: bytes, rate: int, max_seconds: float, max_samples: int) -> None:
        import soundfile
        import soxr

        from deployments.speech.forward_file import ForwardFile

        try:
            if audio_format(raw) is None:
                raise RecordingError(DAMAGED)
            header = read_audio_header(raw)
            self._file = ForwardFile(io.BytesIO(header.file(raw)))
        except AudioHeaderError as error:
            problem = Problem("validation", f"the audio {error}", "audio")
            raise RecordingError(problem) from None
        except soundfile.SoundFileError:
            raise RecordingError(DAMAGED) from None
        opened = (self._file.format, self._file.channels, self._file.samplerate)
        if opened[0] not in CONTAINERS or opened[1:] != (header.channels, header.rate):
            raise RecordingError(DAMAGED)
        self._rate = rate
        self._max_seconds = max_seconds
        self._max_samples = max_samples
        self._max_frames = int(max_seconds * header.rate)
        self._claimed = header.frames or 0
        self._frames = 0
        self._resampler = soxr.ResampleStream(header.rate, rate, 1, dtype="float32")
        self._resampled = self._blocks()
        self._rest = np.zeros(0, np.float32)
        self.samples = 0

    @property
    def seconds(self) -> float:
        """The length of what was read so far."""
        return self.samples / self._rate

    def read(self, samples: int) -> Samples:
        """So many more samples; fewer only at the end."""
        parts, length = [self._rest], len(self._rest)
        while length < samples and (part := next(self._resampled, None)) is not None:
            parts.append(part)
            length += len(part)
        joined = np.concatenate(parts)
        read, self._rest = joined[:samples], joined[samples:].copy()
        self.samples += len(read)
        if samples and not self.samples:
            message = f"the audio has no samples at {self._rate} Hz"
            raise RecordingError(Problem("validation", message, "audio"))
        return read

    def _blocks(self) -> Iterator[Samples]:
        while len(block := self._block()):
            yield self._resampler.resample_chunk(block)
        yield self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _block(self) -> Samples:
        """The mean of the channels."""
        import soundfile

        try:
            block = self._file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            raise RecordingError(DAMAGED) from None
        self._frames += len(block)
        if self._frames > self._max_frames:
            message = f"the audio is longer than {self._max_seconds:g} s"
            raise RecordingError(Problem("validation", message, "audio"))
        if self._frames * block.shape[1] > self._max_samples:
            message = f"the audio has more than {self._max_samples} samples in all channels"
            raise RecordingError(Problem("validation", message, "audio"))
        if not len(block) and self._frames < self._claimed:
            raise RecordingError(DAMAGED)
        if not np.isfinite(block).all():
            message = "the audio has samples that are infinite or no numbers"
            raise RecordingError(Problem("validation", message, "audio"))
        mono: Samples = block.clip(-1, 1).mean(axis=1, dtype=np.float32)
        return mono
