"""Images as clients send them: what is passed on, and what is refused with which code."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from configs.settings import Settings
from deployments.seam.image_files.encoded import ignore_pillow_warnings
from serve_app.ingress.errors import (
    PayloadTooLarge,
    ServiceError,
    UnsupportedMediaType,
    ValidationFailed,
)
from serve_app.ingress.file_intake import received
from serve_app.ingress.images import IMAGE, checked

SETTINGS = Settings()


def encoded(mode: str = "RGB", size: tuple[int, int] = (8, 6), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 1).save(buffer, kind)
    return buffer.getvalue()


def random_image(side: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and has nothing more to show."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + b"\x35\xaf\x06\x1e"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_every_format_that_is_documented_passes(kind: str) -> None:
    raw = encoded(kind=kind)
    assert checked(raw, SETTINGS) == raw


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_pixel_passes(mode: str) -> None:
    raw = encoded(mode)
    assert checked(raw, SETTINGS) == raw


def test_a_photograph_of_a_printer_and_an_animation_pass() -> None:
    printed = encoded("CMYK", kind="JPEG")
    frames = [Image.new("P", (4, 4), i) for i in range(3)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    assert checked(printed, SETTINGS) == printed
    assert checked(animated.getvalue(), SETTINGS) == animated.getvalue()


def test_a_file_that_is_cut_short_passes_since_only_its_header_is_read() -> None:
    raw = encoded(size=(200, 200), kind="JPEG")
    assert checked(raw[: len(raw) // 2], SETTINGS)


@pytest.mark.parametrize(
    "raw", [b"", b"hello, I am a text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"II*\0"]
)
def test_what_is_no_image_is_a_validation_error_that_names_the_field(raw: bytes) -> None:
    with pytest.raises(ValidationFailed) as failed:
        checked(raw, SETTINGS, "photo")
    assert failed.value.field == "photo"
    assert set(failed.value.details["field_errors"]) == {"photo"}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7", "PDF"),
        (encoded(kind="ICO"), "ICO"),
        (encoded(kind="JPEG2000"), "JPEG 2000"),
        (encoded(kind="PPM"), "PNM"),
    ],
)
def test_an_image_of_another_format_is_called_by_its_name(raw: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=name) as failed:
        checked(raw, SETTINGS)
    assert set(failed.value.details["field_errors"]) == {"image"}


def test_more_pixels_than_the_settings_allow_are_too_large() -> None:
    small = Settings(max_image_pixels=48)
    assert checked(encoded(size=(8, 6)), small)
    with pytest.raises(PayloadTooLarge, match="7 x 7 pixels; the limit is 48"):
        checked(encoded(size=(7, 7)), small)


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000, 2**31 - 1])
def test_a_few_bytes_that_would_become_gigabytes_are_too_large(side: int) -> None:
    with pytest.raises(PayloadTooLarge) as failed:
        checked(png_header(side, side), SETTINGS)
    assert failed.value.details["limit_pixels"] == SETTINGS.max_image_pixels


@pytest.mark.parametrize("size", [(1, 50_000_000), (50_000_000, 1), (20_001, 1)])
def test_a_side_that_is_too_long_is_refused_by_the_header(size: tuple[int, int]) -> None:
    """Models scale by the shorter side: such a picture becomes gigabytes there."""
    with pytest.raises(PayloadTooLarge, match="the limit of a side is 20000") as failed:
        checked(png_header(*size), SETTINGS)
    assert failed.value.details["limit_side"] == 20_000
    assert set(failed.value.details["field_errors"]) == {"image"}
    assert checked(png_header(20_000, 1), SETTINGS)
    assert checked(png_header(1, 30_000), Settings(max_image_side=30_000))


def test_as_many_pixels_as_the_settings_allow_pass_though_pillow_warns_of_them() -> None:
    ignore_pillow_warnings()
    raw, most = png_header(10_000, 10_000), Settings(max_image_pixels=100_000_000)
    assert checked(raw, most) == raw
    with pytest.raises(PayloadTooLarge, match="10000 x 10000 pixels; the limit is 50000000"):
        checked(raw, SETTINGS)


def test_a_file_of_a_million_parts_is_too_large_and_says_why() -> None:
    empty = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    with pytest.raises(PayloadTooLarge, match="photo is a file with more than 65536 parts"):
        checked(PNG[:33] + empty * 800_000 + PNG[33:], SETTINGS, "photo")


PNG = encoded()
PLAIN = base64.b64encode(PNG).decode()
SAFE = base64.urlsafe_b64encode(PNG).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        SAFE,
        SAFE.rstrip("="),
        f"  {PLAIN}\n",
        base64.encodebytes(PNG).decode(),
        f"data:image/png;base64,{PLAIN}",
        f"DATA:image/png;charset=utf-8;BASE64,{PLAIN}",
        f"data:;base64,{SAFE}",
        "data:image/png;base64," + PLAIN.replace("+", "%2B").replace("=", "%3D"),
        "data:image/png;base64," + PLAIN.replace("+", "%2b") + "%0A%0d%20",
        "data:image/png;base64,"
        + "".join(f"%{ord(sign):02x}" for sign in PLAIN[:300])
        + PLAIN[300:],
    ],
)
def test_every_way_to_write_bytes_as_text_is_read(text: str) -> None:
    assert received(text, IMAGE, SETTINGS, "image") == PNG


def test_bytes_are_received_as_they_are() -> None:
    assert received(PNG, IMAGE, SETTINGS, "image") == PNG


URLS = [
    "http://a/b.png",
    "https://a/b",
    " HTTPS://a/b.png",
    "file:///etc/passwd",
    "ftp://a/b.png",
    "s3://bucket/cat.jpeg",
    "blob:https://a/1-2-3",
]
PATHS = [
    "/etc/passwd",
    "/etc/hosts.png",
    "../cat.png",
    "./a.png",
    "~/a.png",
    "C:\\x.png",
    "c:/x.png",
    "\\\\host\\a.png",
    "images/cat 1.jpeg",
    "cat.webp",
    "/",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_of_any_scheme_is_not_fetched(url: str) -> None:
    with pytest.raises(ValidationFailed, match="photo is a URL, and this server") as failed:
        received(url, IMAGE, SETTINGS, "photo")
    assert failed.value.message.endswith("bytes as a multipart file, base64, or a data: URI.")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_not_read(path: str) -> None:
    with pytest.raises(ValidationFailed, match="photo is the path of a file") as failed:
        received(path, IMAGE, SETTINGS, "photo")
    assert "reads no files by their path" in failed.value.message


def test_base64_that_begins_like_a_path_is_read() -> None:
    """As that of a JPEG does, and an image whose bytes are any that are 0xFC at the start."""
    jpeg = base64.b64encode(encoded(kind="JPEG")).decode()
    assert jpeg.startswith("/9j/")
    assert checked(received(jpeg, IMAGE, SETTINGS, "image"), SETTINGS)
    with pytest.raises(ValidationFailed, match="header is damaged"):
        received(jpeg[:200], IMAGE, SETTINGS, "image")


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        "café",
        "A",
        "",
        "AAAA=AAA",
        "data:image/png,plain",
        "data:image/png;base64,###",
        "data:image/png;base64," + "%41" * 10_000,
        "data:image/png;base64",
        base64.b64encode(b"a text").decode(),
    ],
)
def test_what_is_no_image_in_base64_is_a_validation_error_of_its_field(text: str) -> None:
    with pytest.raises(ServiceError) as failed:
        received(text, IMAGE, SETTINGS, "picture")
    assert isinstance(failed.value, ValidationFailed)
    assert failed.value.field == "picture"
