"""Recordings are decoded piece by piece, whatever their headers claim."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest

from deployments.speech.forward_file import ForwardFile
from deployments.speech.recording import Recording, RecordingError
from tests.deployments.speech.recordings import (
    RATE,
    file_of,
    flac_with_frames,
    flac_without_frames,
    wav_header,
)

LONG = 600.0
MANY = 60_000_000


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> Any:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def whole(raw: bytes, max_seconds: float = LONG, max_samples: int = MANY) -> Any:
    recording = Recording(raw, RATE, max_seconds, max_samples)
    return np.concatenate([recording.read(5000) for _ in range(200)])


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 16_000, 44_100, 48_000, 192_000])
def test_every_rate_becomes_the_models(rate: int) -> None:
    heard = whole(file_of(tone(rate), rate))
    assert len(heard) == pytest.approx(RATE, abs=2)
    middle = slice(RATE // 4, RATE // 2)
    assert np.abs(heard[middle] - tone(RATE)[middle]).max() < 0.01


@pytest.mark.parametrize(
    ("kind", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-4),
        ("WAV", "PCM_32", 1e-4),
        ("WAV", "FLOAT", 1e-4),
        ("WAV", "DOUBLE", 1e-4),
        ("WAV", "ULAW", 0.03),
        ("WAV", "ALAW", 0.03),
        ("WAVEX", "PCM_24", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 1e-4),
    ],
)
def test_every_encoding_is_read(kind: str, subtype: str, error: float) -> None:
    heard = whole(file_of(tone(RATE), kind=kind, subtype=subtype))
    assert np.abs(heard - tone(RATE)).max() < error


def test_channels_are_averaged_and_loud_samples_are_cut() -> None:
    left, right = tone(RATE), np.zeros(RATE)
    heard = whole(file_of(np.stack([left, right], axis=1)))
    assert np.abs(heard - left / 2).max() < 1e-4
    assert np.abs(whole(file_of(5 * left, subtype="FLOAT"))).max() == pytest.approx(1)


def test_pieces_join_to_the_whole() -> None:
    raw = file_of(tone(44_100), 44_100)
    recording = Recording(raw, RATE, LONG, MANY)
    at_once = Recording(raw, RATE, LONG, MANY).read(2 * RATE)
    pieces = [recording.read(size) for size in (1, 7000, 0, 3, 2 * RATE)]
    assert np.array_equal(np.concatenate(pieces), at_once)
    assert recording.seconds == len(at_once) / RATE


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"RIFF....WAVE", "without samples, or cut short"),
        (wav_header(channels=0), "0 channels"),
        (wav_header(channels=9, samples=bytes(36), claimed=36), "9 channels"),
        (wav_header(rate=0), "0 Hz"),
        (wav_header(rate=500_000), "500000 Hz"),
        (wav_header(claimed=0x7FFFEFFF), f"claims {0x7FFFEFFF} bytes of samples, has 4"),
        (wav_header(encoding=0x55), "encoding 0x55"),
        (wav_header(claimed=0), "no samples"),
        (flac_without_frames(), "no samples"),
        (file_of(np.zeros(1), 192_000), "no samples at 16000 Hz"),
        (file_of(np.array([0.1, np.nan]), subtype="FLOAT"), "no numbers"),
        (file_of(np.array([0.1, -np.inf]), subtype="DOUBLE"), "no numbers"),
        (file_of(tone(RATE), kind="FLAC")[:200], "damaged or cut short"),
        (file_of(tone(RATE), kind="FLAC")[:30], "damaged header"),
        (file_of(tone(RATE), kind="OGG", subtype="VORBIS"), "damaged"),
    ],
    # Files may have the time in them, which must not be in a test's name.
    ids=lambda given: "file" if isinstance(given, bytes) else given,
)
def test_what_cannot_be_read_says_why(raw: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as failed:
        whole(raw)
    assert failed.value.problem.kind == "validation"
    assert failed.value.problem.field == "audio"


@pytest.mark.parametrize(
    ("claimed", "form_length"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x80000000, 0x80000024),
        (0x7FFFF000, 0x7FFFF024),
        (0, 0),
        (0, 36),
        (0, 0xFFFFFFFF),
    ],
)
def test_a_file_written_to_a_pipe_has_the_length_that_is_there(
    claimed: int, form_length: int
) -> None:
    raw = wav_header(claimed=claimed, form_length=form_length, samples=bytes(2 * RATE))
    assert len(whole(raw)) == RATE


def test_chunks_behind_no_samples_are_no_samples() -> None:
    with pytest.raises(RecordingError, match="no samples"):
        whole(wav_header(claimed=0, samples=b"LIST\4\0\0\0INFO"))


def test_a_flac_file_of_unknown_length_has_the_samples_that_are_there() -> None:
    assert len(whole(flac_with_frames(file_of(tone(RATE), kind="FLAC"), 0))) == RATE


@pytest.mark.parametrize("frames", [RATE + 1, 2**36 - 1])
def test_the_length_that_a_file_claims_is_not_allocated_and_must_be_there(frames: int) -> None:
    raw = flac_with_frames(file_of(tone(RATE), kind="FLAC"), frames)
    tracemalloc.start()
    try:
        recording = Recording(raw, RATE, LONG, MANY)
        with pytest.raises(RecordingError, match="damaged or cut short"):
            recording.read(2 * RATE)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_recording_that_is_too_long_ends_where_it_is_found_out() -> None:
    silence = flac_with_frames(file_of(np.zeros(20 * RATE), kind="FLAC"), 0)
    assert len(whole(silence, 20.0)) == 20 * RATE
    with pytest.raises(RecordingError, match=r"longer than 19.5 s"):
        whole(silence, 19.5)


def test_samples_count_in_all_channels() -> None:
    silence = flac_with_frames(file_of(np.zeros((2 * RATE, 8)), kind="FLAC"), 0)
    assert len(whole(silence, max_samples=16 * RATE)) == 2 * RATE
    with pytest.raises(RecordingError, match=r"more than 255999 samples in all channels"):
        whole(silence, max_samples=16 * RATE - 1)


def test_chunks_behind_the_samples_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    class Watched(ForwardFile):
        def __init__(self, file: io.BytesIO) -> None:
            opened.append(len(file.getvalue()))
            super().__init__(file)

    monkeypatch.setattr("deployments.speech.forward_file.ForwardFile", Watched)
    raw = wav_header(claimed=2 * RATE, samples=bytes(2 * RATE)) + b"junk\0\0\0\0" * 100_000
    assert len(whole(raw)) == RATE
    assert opened == [44 + 2 * RATE]
