"""Images for tests of the families: drawn here, encoded as a client would send them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from tests.shapes.drawing import Colour, Shape, draw

WHITE = (255, 255, 255)
RED = (255, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(
    kind: str, box: tuple[int, int, int, int], size: tuple[int, int], fill: Colour = RED
) -> Image.Image:
    image = Image.new("RGB", size, WHITE)
    draw(image, Shape("", kind, box), fill)
    return image


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture of noise; another one for every seed."""
    values = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(values))
