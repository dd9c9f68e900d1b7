"""Audio files as clients send them: what is passed on, and what is refused with which code."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from configs.settings import Settings
from deployments.seam.audio_files import MAX_CHUNKS
from serve_app.ingress.audio import AUDIO, checked_audio
from serve_app.ingress.errors import PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from serve_app.ingress.file_intake import received
from tests.deployments.speech.recordings import file_of, flac_with_frames, noise, wav_header

SETTINGS = Settings()
WAV = noise(1)
FLAC = file_of(np.zeros(16_000), kind="FLAC")


@pytest.mark.parametrize("raw", [WAV, FLAC, file_of(np.zeros((9, 2)), 44_100, "WAVEX", "FLOAT")])
def test_wav_and_flac_pass_as_bytes_and_as_text(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    for sent in (raw, text, f"data:audio/wav;base64,{text}"):
        assert received(sent, AUDIO, SETTINGS, "audio") == raw


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"ID3\x04\x00\x00", "MP3"),
        (b"\xff\xfb\x90\x64", "MP3"),
        (b"OggS\x00\x02", "Ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "MP4"),
        (b"\x1aE\xdf\xa3\x01", "WebM"),
        (b"FORM\x00\x00\x00\x00AIFF", "AIFF"),
        (b"RF64\xff\xff\xff\xffWAVE", "64 bits"),
        (b"RIFX\x00\x00\x00\x00WAVE", "big-endian"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00fLaC", "ID3 tag"),
    ],
)
def test_another_format_is_called_by_its_name(raw: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=name) as failed:
        checked_audio(raw, SETTINGS, "file")
    assert failed.value.field == "file"
    assert "WAV, FLAC" in failed.value.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "no audio file .* WAV, FLAC"),
        (b"\x89PNG\r\n\x1a\n", "no audio file"),
        (b"RIFF\x00\x00\x00\x00WAVE", "cut short"),
        (wav_header(channels=0), "0 channels"),
        (wav_header(rate=1), "1 Hz"),
        (wav_header(claimed=2_000_000_000), "claims 2000000000 bytes"),
        (wav_header(encoding=2), "encoding 0x2"),
        (wav_header(bits=4), "4 bits in 0 bytes"),
        (FLAC[:20], "damaged header"),
    ],
)
def test_a_header_that_cannot_be_right_is_an_error_that_says_why(raw: bytes, message: str) -> None:
    with pytest.raises(ValidationFailed, match=message) as failed:
        checked_audio(raw, SETTINGS, "sound")
    assert set(failed.value.details["field_errors"]) == {"sound"}


def test_a_header_of_very_many_chunks_is_not_read_to_its_end() -> None:
    chunk = b"junk\x00\x00\x00\x00"
    raw = wav_header()
    assert checked_audio(raw[:12] + chunk * (MAX_CHUNKS - 2) + raw[12:], SETTINGS)
    with pytest.raises(ValidationFailed, match="without samples"):
        checked_audio(raw[:12] + chunk * MAX_CHUNKS + raw[12:], SETTINGS)


def test_a_recording_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(PayloadTooLarge, match=r"has 1.0 s; the limit is 0.5 s") as failed:
        checked_audio(WAV, Settings(max_audio_s=0.5))
    assert failed.value.details["limit_seconds"] == 0.5
    assert checked_audio(WAV, Settings(max_audio_s=1.0))
    with pytest.raises(PayloadTooLarge):
        checked_audio(flac_with_frames(FLAC, 2**36 - 1), SETTINGS)
    unknown = flac_with_frames(FLAC, 0)
    assert checked_audio(unknown, SETTINGS) == unknown


def test_a_small_file_of_very_many_samples_is_refused_by_its_header() -> None:
    raw = file_of(np.zeros((1000, 8)), 192_000, "FLAC")
    assert checked_audio(raw, Settings(max_audio_samples=8000)) == raw
    with pytest.raises(PayloadTooLarge, match="has 8000 samples in all channels") as failed:
        checked_audio(raw, Settings(max_audio_samples=7999), "sound")
    assert failed.value.details["limit_samples"] == 7999
    assert set(failed.value.details["field_errors"]) == {"sound"}
    with pytest.raises(PayloadTooLarge, match=f"limit is {SETTINGS.max_audio_samples}"):
        checked_audio(flac_with_frames(raw, 40 * 192_000), SETTINGS)


def test_bytes_of_no_known_format_have_one_status_however_they_are_sent() -> None:
    raw = b"no audio at all"
    for sent in (raw, base64.b64encode(raw).decode()):
        with pytest.raises(ValidationFailed, match="no audio file"):
            received(sent, AUDIO, SETTINGS, "audio")


@pytest.mark.parametrize("sent", ["https://a.example/b.wav", "/etc/passwd", "speech.wav", "a*b"])
def test_urls_and_paths_are_not_read(sent: str) -> None:
    with pytest.raises(ValidationFailed) as failed:
        received(sent, AUDIO, SETTINGS, "audio")
    assert failed.value.field == "audio"
