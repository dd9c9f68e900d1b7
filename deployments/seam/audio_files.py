"""Reads the header of an audio file, WAV or FLAC, without trusting the lengths that it claims."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, NamedTuple

AudioFormat = Literal["WAV", "FLAC"]

MAX_CHANNELS = 8
RATES = range(4_000, 192_001)
"""Sampling rates in Hz: from telephones' half to the highest of studios."""

MAX_CHUNKS = 256
"""Chunks before the samples of a WAV file. Usual ones have one to five."""

FLAC_FRAMES = (1 << 36) - 1
MIN_UNKNOWN_LENGTH = 0x7FFFF000
"""Programs that write a WAV file to a pipe claim so many bytes of samples (sox does), or more, or
none."""

ENCODINGS = {1: "PCM", 3: "floating-point", 6: "A-law", 7: "mu-law"}
EXTENSIBLE = 0xFFFE
"""``wFormatTag`` of WAV files: https://www.rfc-editor.org/rfc/rfc2361, and WAVE_FORMAT_EXTENSIBLE,
whose tag is the beginning of its ``SubFormat``."""


class AudioHeaderError(ValueError):
    """The header cannot be right, or says what is not read here; the message is a clause."""


@dataclass(frozen=True, slots=True)
class AudioHeader:
    """``frames`` is the number of samples of each channel; ``None`` if the header does not say.

    The samples end before byte ``end`` of the file. ``length_at`` is where a WAV header should have
    their length and has none.
    """

    channels: int
    rate: int
    frames: int | None
    end: int
    length_at: int | None = None

    @property
    def seconds(self) -> float | None:
        return None if self.frames is None else self.frames / self.rate

    @property
    def samples(self) -> int | None:
        """Of all channels together."""
        return None if self.frames is None else self.frames * self.channels

    def file(self, raw: bytes) -> bytes:
        """``raw`` up to the end of its samples, with their length if it has none."""
        if self.length_at is None:
            return raw[: self.end]
        begin = self.length_at + 4
        length = struct.pack("<I", self.end - begin)
        return b"".join([raw[: self.length_at], length, raw[begin : self.end]])


class WavChunk(NamedTuple):
    """One chunk of a WAV file: where its content begins, and the bytes that it claims to have."""

    begin: int
    size: int


def audio_format(raw: bytes) -> AudioFormat | None:
    """The format by the file's first bytes; ``None`` for any other."""
    if raw[:4] == b"RIFF" and raw[8:12] == b"WAVE":
        return "WAV"
    return "FLAC" if raw[:4] == b"fLaC" else None


def read_audio_header(raw: bytes) -> AudioHeader:
    """The checked header of a file whose :func:`audio_format` is known.

    Raises :class:`AudioHeaderError`.
    """
    header = _wav(raw) if audio_format(raw) == "WAV" else _flac(raw)
    if not 1 <= header.channels <= MAX_CHANNELS:
        raise AudioHeaderError(f"has {header.channels} channels; 1 to {MAX_CHANNELS} are read")
    if header.rate not in RATES:
        raise AudioHeaderError(
            f"has a sampling rate of {header.rate} Hz; {RATES[0]} to {RATES[-1]} are read"
        )
    if header.frames == 0:
        raise AudioHeaderError("has no samples")
    return header


def _wav(raw: bytes) -> AudioHeader:
    chunks = _chunks(raw)
    if b"fmt " not in chunks or b"data" not in chunks:
        raise AudioHeaderError("is a WAV file without samples, or cut short")
    encoding, channels, rate, _, frame_bytes, bits = _fmt(raw, chunks[b"fmt "])
    if encoding not in ENCODINGS:
        able = ", ".join(ENCODINGS.values())
        raise AudioHeaderError(f"is a WAV file of encoding {encoding:#x}; these are read: {able}")
    data = chunks[b"data"]
    there = len(raw) - data.begin
    is_unknown = _is_unknown(data, raw)
    if data.size > there and not is_unknown:
        raise AudioHeaderError(f"is cut short: it claims {data.size} bytes of samples, has {there}")
    if frame_bytes != channels * ((bits + 7) // 8) or (channels and not frame_bytes):
        raise AudioHeaderError(f"has {channels} channels of {bits} bits in {frame_bytes} bytes")
    size = there if is_unknown else data.size
    frames = size // frame_bytes if frame_bytes else 0
    length_at = data.begin - 4 if is_unknown else None
    return AudioHeader(channels, rate, frames, data.begin + size, length_at)


def _is_unknown(data: WavChunk, raw: bytes) -> bool:
    """Whether the program that wrote the file did not know how many samples would follow.

    A length of 0 is right if there is nothing behind it but other chunks of the RIFF chunk.
    """
    if data.size:
        return data.size >= MIN_UNKNOWN_LENGTH and data.begin + data.size > len(raw)
    form: int = struct.unpack_from("<I", raw, 4)[0]
    return form + 8 <= data.begin or form >= MIN_UNKNOWN_LENGTH


def _chunks(raw: bytes) -> dict[bytes, WavChunk]:
    """The first chunk of each name, up to the samples."""
    found: dict[bytes, WavChunk] = {}
    place = 12
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(raw) or b"data" in found:
            break
        name, size = struct.unpack_from("<4sI", raw, place)
        found.setdefault(name, WavChunk(place + 8, size))
        place += 8 + size + size % 2
    return found


def _fmt(raw: bytes, chunk: WavChunk) -> tuple[int, ...]:
    """Encoding, channels, rate, bytes a second, bytes of a frame and bits of a sample."""
    if chunk.size < 16 or chunk.begin + chunk.size > len(raw):
        raise AudioHeaderError("is a WAV file with a damaged header")
    encoding, *others = struct.unpack_from("<HHIIHH", raw, chunk.begin)
    if encoding == EXTENSIBLE and chunk.size >= 26:
        (encoding,) = struct.unpack_from("<H", raw, chunk.begin + 24)
    return encoding, *others


def _flac(raw: bytes) -> AudioHeader:
    """By the block STREAMINFO, which comes first (RFC 9639, 8.2)."""
    if len(raw) < 42 or raw[4] & 0x7F or int.from_bytes(raw[5:8], "big") != 34:
        raise AudioHeaderError("is a FLAC file with a damaged header")
    packed = int.from_bytes(raw[18:26], "big")
    rate, channels = packed >> 44, (packed >> 41 & 7) + 1
    return AudioHeader(channels, rate, (packed & FLAC_FRAMES) or None, len(raw))
