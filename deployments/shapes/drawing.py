"""Drawings of coloured shapes on plain grounds, and what is true of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[float, float, float, float]

COLOURS = {
    "red": ((195, 255), (0, 55), (0, 55)),
    "green": ((0, 75), (115, 255), (0, 85)),
    "blue": ((0, 80), (0, 105), (175, 255)),
    "yellow": ((222, 255), (205, 255), (0, 75)),
    "orange": ((232, 255), (115, 168), (0, 45)),
    "purple": ((105, 165), (0, 65), (115, 195)),
}
"""What each name may look like: a range for red, green and blue."""

KINDS = ("circle", "square", "triangle")
SIDES = (64, 96, 128, 160, 192, 256)
CONTRAST = 100
"""The least difference of a shape from the ground, summed over red, green and blue."""
ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class Shape:
    """``box`` is (xmin, ymin, xmax, ymax) in pixels of its drawing."""

    colour: str
    kind: str
    box: Box


@dataclass(frozen=True, slots=True)
class Drawing:
    image: Image.Image
    shapes: tuple[Shape, ...]


def drawing(dice: random.Random, shapes: int = 1) -> Drawing:
    """A drawing of up to ``shapes`` shapes, none over another; the same dice draw the same."""
    width, height = dice.choice(SIDES), dice.choice(SIDES)
    if not 0.5 <= width / height <= 2:
        height = width
    fills = {name: _shade(dice, name) for name in dice.sample(list(COLOURS), shapes)}
    ground = _ground(dice, list(fills.values()))
    image = Image.new("RGB", (width, height), ground)
    largest = 0.85 if shapes == 1 else 0.5
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


def _shade(dice: random.Random, name: str) -> Colour:
    red, green, blue = (dice.randint(*bounds) for bounds in COLOURS[name])
    return red, green, blue


def _ground(dice: random.Random, fills: list[Colour]) -> Colour:
    """Black, white, grey or a pale tint, which no shape is lost in."""
    for _ in range(ATTEMPTS):
        level = dice.choice((0, 255, dice.randint(0, 255), dice.randint(0, 255)))
        tint = dice.choice((0, 0, 25))
        red, green, blue = (max(0, min(255, level + dice.randint(-tint, tint))) for _ in range(3))
        ground = (red, green, blue)
        if all(_difference(ground, fill) > CONTRAST for fill in fills):
            return ground
    return 255, 255, 255


def _difference(one: Colour, other: Colour) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _place(
    dice: random.Random, width: int, height: int, largest: float, placed: list[Shape]
) -> Box | None:
    for _ in range(ATTEMPTS):
        side = dice.uniform(0.18, largest) * min(width, height)
        xmin, ymin = dice.uniform(0, width - side - 1), dice.uniform(0, height - side - 1)
        box = (round(xmin), round(ymin), round(xmin + side), round(ymin + side))
        if not any(_touch(box, other.box) for other in placed):
            return box
    return None


def _touch(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
