"""Encoded files are decoded to upright pictures of eight bits, one frame, no transparency."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deployments.images.decode import decode
from deployments.seam.image_files.encoded import ignore_pillow_warnings
from deployments.seam.problems import Problem


@pytest.fixture(autouse=True)
def _as_in_a_replica() -> None:
    """Ignore warnings, as a replica does."""
    ignore_pillow_warnings()


RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(raw: bytes) -> Image.Image:
    image = decode(raw)
    assert not isinstance(image, Problem)
    assert image.mode == "RGB"
    return image


def pixel(raw: bytes, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = decoded(raw).getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def halves() -> Image.Image:
    """Six by four, red on the left and blue on the right."""
    image = Image.new("RGB", (6, 4), RED)
    image.paste(BLUE, (3, 0, 6, 4))
    return image


@pytest.mark.parametrize(
    ("orientation", "size", "red_at", "blue_at"),
    [
        (1, (6, 4), (0, 0), (5, 3)),
        (2, (6, 4), (5, 0), (0, 0)),
        (3, (6, 4), (5, 0), (0, 0)),
        (6, (4, 6), (0, 0), (0, 5)),
        (8, (4, 6), (0, 5), (0, 0)),
    ],
)
def test_the_orientation_in_the_exif_data_is_applied(
    orientation: int, size: tuple[int, int], red_at: tuple[int, int], blue_at: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = encoded(halves(), exif=exif)
    assert decoded(raw).size == size
    assert pixel(raw, *red_at) == RED
    assert pixel(raw, *blue_at) == BLUE


def test_an_image_with_invalid_exif_data_is_not_turned() -> None:
    raw = encoded(halves(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", quality=100)
    assert decoded(raw).size == (6, 4)


def test_a_palette_is_looked_up() -> None:
    image = halves().convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    assert pixel(encoded(image)) == RED
    assert pixel(encoded(image, "GIF"), 5) == BLUE


def test_transparent_pixels_are_shown_on_white() -> None:
    assert pixel(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0)))) == WHITE
    assert pixel(encoded(Image.new("RGBA", (2, 2), (*RED, 255)))) == RED
    faint = pixel(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 128))))
    assert faint == pytest.approx((255, 127, 127), abs=1)
    assert pixel(encoded(Image.new("LA", (2, 2), (0, 0)))) == WHITE
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([*RED, *BLUE])
    assert pixel(encoded(palette, transparency=0)) == WHITE
    assert pixel(encoded(Image.new("RGB", (2, 2), RED), transparency=RED)) == WHITE


@pytest.mark.parametrize(("value", "level"), [(0, 0), (65535, 255), (32768, 128), (257, 1)])
def test_grey_of_sixteen_bits_keeps_its_brightness(value: int, level: int) -> None:
    values = np.full((2, 2), value, np.uint16)
    assert pixel(encoded(Image.fromarray(values))) == (level,) * 3
    assert pixel(encoded(Image.fromarray(values), "TIFF")) == (level,) * 3


def test_values_beyond_the_usual_range_are_scaled_by_their_own() -> None:
    values = np.array([[-100, 0], [50, 100]], np.int32)
    raw = encoded(Image.fromarray(values), "TIFF")
    assert (pixel(raw), pixel(raw, 1), pixel(raw, 1, 1)) == ((0,) * 3, (128,) * 3, (255,) * 3)
    fractions = np.array([[0.0, 1.0], [0.5, np.nan]], np.float32)
    raw = encoded(Image.fromarray(fractions), "TIFF")
    assert (pixel(raw), pixel(raw, 1), pixel(raw, 0, 1)) == ((0,) * 3, (255,) * 3, (128,) * 3)


@pytest.mark.parametrize(
    ("mode", "value", "level"),
    [
        ("I", 0, 0),
        ("I", 65535, 255),
        ("I", 70_000, 255),
        ("I", -7, 0),
        ("I", 2**31 - 1, 255),
        ("F", 0.5, 128),
        ("F", 5.0, 255),
        ("F", -0.1, 0),
        ("F", 3e38, 255),
        ("F", -1e-45, 0),
        ("F", float("nan"), 0),
        ("F", float("inf"), 0),
    ],
)
def test_numbers_of_one_value_are_one_grey(mode: str, value: float, level: int) -> None:
    raw = encoded(Image.new(mode, (3, 2), value), "TIFF")
    assert decoded(raw).getcolors() == [(6, (level,) * 3)]


def test_the_widest_range_that_numbers_have_is_scaled() -> None:
    values = np.array([[-3e38, 3e38], [0.0, np.inf]], np.float32)
    raw = encoded(Image.fromarray(values), "TIFF")
    assert [pixel(raw, x, y)[0] for y in (0, 1) for x in (0, 1)] == [0, 255, 128, 255]


def test_grey_black_and_white_and_print_become_rgb() -> None:
    assert pixel(encoded(Image.new("L", (2, 2), 77))) == (77, 77, 77)
    assert pixel(encoded(Image.new("1", (2, 2), 1))) == WHITE
    printed = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert pixel(printed) == pytest.approx(RED, abs=4)


def test_the_first_frame_of_an_animation_is_decoded() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    for kind in ("GIF", "WEBP", "PNG"):
        more: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **more)
        assert pixel(raw) == pytest.approx(RED, abs=2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_short_is_a_problem_of_the_image(kind: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    raw = encoded(Image.fromarray(noise), kind)
    answer = decode(raw[: int(len(raw) * part)])
    assert isinstance(answer, Problem)
    assert (answer.kind, answer.field) == ("validation", "image")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_no_damage_is_ever_more_than_a_problem(kind: str) -> None:
    dice = np.random.default_rng(1)
    whole = encoded(Image.fromarray(dice.integers(0, 255, (24, 24, 3), np.uint8)), kind)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in dice.integers(0, len(damaged), 6):
            damaged[place] = int(dice.integers(0, 256))
        answer = decode(bytes(damaged))
        assert isinstance(answer, Problem) or answer.mode == "RGB"
