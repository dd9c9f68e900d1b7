"""The drawings that the pipeline learns from, each with one shape and a caption."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from tests.shapes.drawing import COLOURS, KINDS, Colour, Shape, background, draw, shade
from tests.shapes.sentences import caption

SIDE = 64
SEED = 20
TEMPLATES = ("{}", "{}", "a drawing of {}", "a picture of {}", "a photo of {}", "draw {}")
GROUNDS = {"black": range(41), "grey": range(41, 215), "white": range(215, 256)}
"""What a caption calls a background, by its brightness."""

WHITE = (255, 255, 255)


class Example(NamedTuple):
    """A drawing of ``SIDE`` pixels a side, and its caption."""

    image: Image.Image
    text: str


class Layout(NamedTuple):
    """How long a shape may be, and how far from the middle, in parts of the drawing's side.

    ``plain`` drawings have one shade of each colour, and a white background.
    """

    min_length: float
    max_length: float
    max_offset: float
    plain: bool


ANYWHERE = Layout(0.4, 0.75, 1.0, plain=False)
"""What the autoencoder learns from, so that it can restore any drawing."""

IN_THE_MIDDLE = Layout(0.58, 0.66, 0.02, plain=True)
"""What is drawn on request: a small network learns sooner where little but the words varies."""


def examples(count: int, layout: Layout) -> list[Example]:
    dice = random.Random(f"{SEED} pipeline")
    return [_example(dice, layout) for _ in range(count)]


def _example(dice: random.Random, layout: Layout) -> Example:
    """One shape, drawn at twice the size so that its edges are smooth when it is scaled down."""
    side = 2 * SIDE
    name, kind = dice.choice(list(COLOURS)), dice.choice(KINDS)
    fill = middle_shade(name) if layout.plain else shade(dice, name)
    ground = WHITE if layout.plain else background(dice, [fill])
    length = dice.uniform(layout.min_length, layout.max_length) * side
    xmin, ymin = (_start(dice, side - length - 1, layout.max_offset * side) for _ in range(2))
    shape = Shape(name, kind, (xmin, ymin, xmin + length, ymin + length))
    image = Image.new("RGB", (side, side), ground)
    draw(image, shape, fill)
    text = dice.choice(TEMPLATES).format(caption(shape))
    if dice.random() < 0.4:
        text += f" on a {_name_of(ground)} background"
    return Example(image.resize((SIDE, SIDE), Image.Resampling.BOX), text)


def middle_shade(name: str) -> Colour:
    red, green, blue = (sum(bounds) // 2 for bounds in COLOURS[name])
    return red, green, blue


def _start(dice: random.Random, room: float, max_offset: float) -> float:
    """Where a shape begins along one side, which has ``room`` beside it."""
    middle = room / 2
    return dice.uniform(max(0, middle - max_offset), min(room, middle + max_offset))


def _name_of(ground: Colour) -> str:
    return next(name for name, levels in GROUNDS.items() if ground[0] in levels)


def pixels_of(drawn: list[Example]) -> torch.Tensor:
    """From -1 to 1, of shape (drawings, 3, SIDE, SIDE)."""
    pixels = torch.from_numpy(np.stack([np.asarray(each.image) for each in drawn]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
