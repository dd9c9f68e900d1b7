"""Files are stripped of metadata, in a time that is bounded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from deployments.images.decode import decode
from deployments.seam.image_files import TooManyPartsError, strip_metadata
from deployments.seam.image_files.encoded import EncodedImage, ignore_pillow_warnings

MIB = 1024 * 1024
SIZE = (64, 48)
NOISE = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture(autouse=True)
def _as_in_a_replica() -> None:
    ignore_pillow_warnings()


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(NOISE)
    if kind == "GIF":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same_picture(raw: bytes, other: bytes) -> bool:
    one, two = decode(raw), decode(other)
    assert isinstance(one, Image.Image)
    assert isinstance(two, Image.Image)
    return one.tobytes() == two.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes, before: bytes = b"IDAT") -> bytes:
    raw = encoded("PNG")
    place = raw.index(before) - 4
    return raw[:place] + b"".join(chunks) + raw[place:]


def jpeg_with(*segments: bytes) -> bytes:
    raw = encoded("JPEG")
    return raw[:2] + b"".join(segments) + raw[2:]


def gif_with(blocks: bytes) -> bytes:
    raw = encoded("GIF")
    place = 13 + (3 << ((raw[10] & 7) + 1))
    return raw[:place] + blocks + raw[place:]


def tiff_with(count: int, length: int, **options: Any) -> bytes:
    """A TIFF with ``count`` further tags, which share ``length`` bytes of data."""
    raw = encoded("TIFF", **options)
    (start,) = struct.unpack_from("<L", raw, 4)
    (entries,) = struct.unpack_from("<H", raw, start)
    more = b"".join(struct.pack("<HHLL", 1000 + i, 1, length, 8) for i in range(count))
    directory = struct.pack("<H", entries + count) + raw[start + 2 :][: entries * 12] + more
    return raw[:4] + struct.pack("<L", len(raw)) + raw[8:] + directory + bytes(4)


def exif(orientation: int | None, tags: int = 0) -> bytes:
    entries = [] if orientation is None else [struct.pack("<HHLHH", 0x0112, 3, 1, orientation, 0)]
    entries += [struct.pack("<HHLL", 1000 + i, 1, 2, 8) for i in range(tags)]
    return struct.pack("<2sHLH", b"II", 42, 8, len(entries)) + b"".join(entries) + bytes(4)


BOMB = zlib.compress(bytes(MIB), 9)
LONG = zlib.compress(np.random.default_rng(1).integers(0, 256, 2 * MIB, np.uint8).tobytes(), 1)
WITH_METADATA: dict[str, Callable[[], bytes]] = {
    "62 texts of 1 MiB": lambda: png_with(*[chunk(b"zTXt", b"k\0\0" + BOMB)] * 62),
    "behind the picture": lambda: png_with(*[chunk(b"zTXt", b"k\0\0" + BOMB)] * 62, before=b"IEND"),
    "a long text": lambda: png_with(chunk(b"zTXt", b"k\0\0" + LONG)),
    "a long international text": lambda: png_with(chunk(b"iTXt", b"k\0\1\0\0\0" + LONG)),
    "a long profile": lambda: png_with(chunk(b"iCCP", b"k\0\0" + LONG)),
    "a long plain text": lambda: png_with(chunk(b"tEXt", b"k\0" + b"x" * 5 * MIB)),
    "a broken text": lambda: png_with(chunk(b"zTXt", b"k\0\0no zlib"), chunk(b"iTXt", b"k")),
    "many private chunks": lambda: png_with(*[chunk(b"prVt", b"")] * 20_000),
    "much EXIF": lambda: png_with(chunk(b"eXIf", exif(1, 60_000))),
}


@pytest.mark.parametrize("name", WITH_METADATA)
def test_a_png_is_read_whatever_is_written_beside_its_picture(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inflated: list[bytes] = []
    monkeypatch.setattr(PngImagePlugin, "_safe_zlib_decompress", inflated.append)
    raw = WITH_METADATA[name]()
    assert EncodedImage(raw).size == SIZE
    assert same_picture(raw, encoded("PNG"))
    assert not inflated
    assert len(strip_metadata(raw).raw) <= len(encoded("PNG"))


def test_metadata_of_other_formats_changes_nothing() -> None:
    profile, comment = bytes(3 * MIB), b"\xff\xfe\xff\xff" + bytes(65_533)
    assert same_picture(encoded("JPEG", icc_profile=profile), encoded("JPEG"))
    assert same_picture(jpeg_with(*[comment] * 100), encoded("JPEG"))
    assert same_picture(jpeg_with(b"\xff\xe5\x00\x02" * 20_000), encoded("JPEG"))
    assert same_picture(jpeg_with(b"\xff" * MIB), encoded("JPEG"))
    assert same_picture(encoded("WEBP", icc_profile=profile), encoded("WEBP"))
    assert same_picture(encoded("AVIF", xmp=b"x" * MIB), encoded("AVIF"))
    assert same_picture(tiff_with(4000, 2000), encoded("TIFF"))
    blocks = b"!\xfe" + (b"\xff" + bytes(255)) * 20_000 + b"\x00" + b"!\xff\x03abc\x00" * 10
    assert same_picture(gif_with(blocks), encoded("GIF"))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("big", [False, True])
def test_every_way_to_pack_a_tiff_is_read_as_before(compression: str, big: bool) -> None:
    raw = encoded("TIFF", compression=compression, big_tiff=big)
    decoded = decode(raw)
    assert isinstance(decoded, Image.Image)
    with Image.open(io.BytesIO(raw)) as image:
        assert decoded.tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (lambda: png_with(chunk(b"tEXt", b"") * 70_000), "parts"),
        (lambda: jpeg_with(b"\xff\xe5\x00\x02" * 70_000), "parts"),
        (lambda: jpeg_with(b"\xff\xdb\x00\x02" * 2_000), "segments"),
        (lambda: jpeg_with(b"\xff\x00" * 70_000), "parts"),
        (lambda: encoded("JPEG", progressive=True)[:-2] + b"\xff\xda\x00\x02" * 100, "scans"),
        (lambda: gif_with(b"!\xfe\x00" * 70_000), "parts"),
        (lambda: gif_with(b"!\xfe" + b"\x01a" * 70_000 + b"\x00"), "parts"),
        (lambda: tiff_with(5_000, 2), "entries"),
        (lambda: _run_length_coded(5000, 5000), "pixels"),
    ],
)
def test_a_file_in_more_parts_than_any_program_writes_is_refused(
    raw: Callable[[], bytes], what: str
) -> None:
    with pytest.raises(TooManyPartsError, match=what):
        strip_metadata(raw())


def _run_length_coded(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 1, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 58) + header + bytes(4) + b"\x00\x01"


def test_a_small_picture_in_run_length_code_is_read() -> None:
    assert EncodedImage(_run_length_coded(50, 40)).size == (50, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turned", [1, 3, 6, 9])
def test_the_orientation_in_exif_data_is_applied(kind: str, turned: int) -> None:
    made = Image.Exif()
    made[0x0112] = turned
    decoded = decode(encoded(kind, exif=made))
    assert isinstance(decoded, Image.Image)
    assert decoded.size == (SIZE[::-1] if turned == 6 else SIZE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_data_of_very_many_entries_is_not_parsed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow takes half a second for 60,000, and warns of each that is damaged."""
    entries = 5_000 if kind == "JPEG" else 60_000
    raw, plain = encoded(kind, exif=exif(None, entries)), encoded(kind)

    def parsed(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", parsed)
    assert EncodedImage(raw).size == SIZE
    assert same_picture(raw, plain)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_file_that_is_cut_anywhere_is_no_more_than_unreadable(kind: str) -> None:
    raw = encoded(kind)
    for length in range(0, len(raw), max(1, len(raw) // 200)):
        decode(raw[:length])
