"""Draws coloured shapes on a plain background, and tells their colour, kind and box."""

from __future__ import annotations

import random
from typing import NamedTuple, TypeAlias

from PIL import Image, ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]

COLOURS = {
    "red": ((210, 255), (0, 45), (0, 45)),
    "green": ((0, 50), (120, 255), (0, 60)),
    "blue": ((0, 60), (0, 80), (190, 255)),
    "yellow": ((230, 255), (215, 255), (0, 60)),
    "orange": ((240, 255), (125, 165), (0, 40)),
    "purple": ((115, 160), (0, 50), (120, 180)),
}
"""The ranges of red, green and blue for each colour name."""

KINDS = ("circle", "square", "triangle")
SIDES = (96, 128, 160, 192)
CONTRAST = 150
"""The smallest difference between shape and background, summed over red, green and blue."""
ATTEMPTS = 30


class Shape(NamedTuple):
    """``box`` is (xmin, ymin, xmax, ymax) in pixels of its drawing."""

    colour: str
    kind: str
    box: Box


class Drawing(NamedTuple):
    image: Image.Image
    shapes: tuple[Shape, ...]


def drawing(dice: random.Random, shapes: int = 1) -> Drawing:
    """A drawing of up to ``shapes`` shapes, none over another. ``dice`` makes random choices."""
    width, height = dice.choice(SIDES), dice.choice(SIDES)
    if not 0.7 <= width / height <= 1.5:
        height = width
    fills = {name: shade(dice, name) for name in dice.sample(list(COLOURS), shapes)}
    ground = background(dice, list(fills.values()))
    image = Image.new("RGB", (width, height), ground)
    largest = 0.75 if shapes == 1 else 0.5
    placed: list[Shape] = []
    for name, fill in fills.items():
        box = _place(dice, width, height, largest, placed)
        if box is None:
            continue
        shape = Shape(name, dice.choice(KINDS), box)
        draw(image, shape, fill)
        placed.append(shape)
    return Drawing(image, tuple(placed))


def draw(image: Image.Image, shape: Shape, fill: Colour) -> None:
    """Fill ``shape`` into ``image``."""
    pen, (xmin, ymin, xmax, ymax) = ImageDraw.Draw(image), shape.box
    match shape.kind:
        case "circle":
            pen.ellipse(shape.box, fill=fill)
        case "square":
            pen.rectangle(shape.box, fill=fill)
        case _:
            pen.polygon([((xmin + xmax) / 2, ymin), (xmin, ymax), (xmax, ymax)], fill=fill)


def shade(dice: random.Random, name: str) -> Colour:
    """A colour that goes by ``name``."""
    red, green, blue = (dice.randint(*bounds) for bounds in COLOURS[name])
    return red, green, blue


def background(dice: random.Random, fills: list[Colour]) -> Colour:
    """A background of white, black, nearly so, or grey, with enough contrast to every shape."""
    for _ in range(ATTEMPTS):
        levels = (0, 255, 255, dice.randint(0, 40), dice.randint(215, 255), dice.randint(41, 214))
        ground = (dice.choice(levels),) * 3
        if all(_difference(ground, fill) > CONTRAST for fill in fills):
            return ground
    return 255, 255, 255


def _difference(one: Colour, other: Colour) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _place(
    dice: random.Random, width: int, height: int, largest: float, placed: list[Shape]
) -> Box | None:
    for _ in range(ATTEMPTS):
        side = dice.uniform(0.25, largest) * min(width, height)
        xmin, ymin = dice.uniform(0, width - side - 1), dice.uniform(0, height - side - 1)
        box = (round(xmin), round(ymin), round(xmin + side), round(ymin + side))
        if not any(_touch(box, other.box) for other in placed):
            return box
    return None


def _touch(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
