"""Audio files for tests: made of samples, and one that was spoken."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from configs.profile_file import load_profile
from configs.weights import materialise

ROOT = Path(__file__).parents[3]
RATE = 16_000
ASK_NOT = Path(__file__).with_name("ask-not.flac")
"""Eleven seconds of J. F. Kennedy's inaugural address, of 1961, which is in the public domain. From
https://github.com/openai/whisper/blob/main/tests/jfk.flac, of one channel at 16 kHz here."""
SAID = (
    "and so my fellow americans ask not what your country can do for you "
    "ask what you can do for your country"
)


def file_of(
    samples: npt.NDArray[Any], rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    """An audio file; samples of shape (frames,) or (frames, channels), from -1 to 1."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def noise(seed: int, seconds: float = 1.0, rate: int = RATE) -> bytes:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate))
    return file_of(samples, rate)


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> bytes:
    return file_of(0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate), rate)


def wav_header(
    *,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    encoding: int = 1,
    claimed: int = 4,
    samples: bytes = bytes(4),
    form_length: int | None = None,
) -> bytes:
    """A WAV file that says what it likes of itself; by itself its form's length is right."""
    frame = channels * bits // 8
    format_chunk = struct.pack("<HHIIHH", encoding, channels, rate, rate * frame, frame, bits)
    chunks = (
        b"fmt "
        + struct.pack("<I", 16)
        + format_chunk
        + b"data"
        + struct.pack("<I", claimed)
        + samples
    )
    length = 4 + len(chunks) if form_length is None else form_length
    return b"RIFF" + struct.pack("<I", length) + b"WAVE" + chunks


def flac_with_frames(raw: bytes, frames: int) -> bytes:
    """A FLAC file whose header claims so many frames."""
    packed = int.from_bytes(raw[18:26], "big") >> 36 << 36 | frames
    return raw[:18] + packed.to_bytes(8, "big") + raw[26:]


def flac_without_frames() -> bytes:
    """The header of a FLAC file of unknown length, without anything behind it."""
    raw, place, is_last = flac_with_frames(file_of(np.zeros(9), kind="FLAC"), 0), 4, False
    while not is_last:
        is_last, length = bool(raw[place] & 0x80), int.from_bytes(raw[place + 1 : place + 4], "big")
        place += 4 + length
    return raw[:place]


def embedded_whisper() -> Path:
    """The folder of the embedded profile's weights; they are converted if they are not yet."""
    families = {each.name: each for each in load_profile("embedded").families}
    (model,) = families["transcription"].models
    return materialise(model.source, ROOT / "cache" / "huggingface")


def words(text: str) -> str:
    """A text without capitals and punctuation."""
    return " ".join("".join(c if c.isalpha() else " " for c in text.lower()).split())
