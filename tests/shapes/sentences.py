"""What is said of shapes: their captions, and questions about them with their answers."""

from __future__ import annotations

import random

from tests.shapes.drawing import COLOURS, KINDS, Shape

COLOUR_QUESTIONS = (
    "what color is it?",
    "what color is the {kind}?",
    "what color is the shape?",
    "which color is this?",
)
KIND_QUESTIONS = ("what shape is it?", "what shape is this?", "what is it?", "what is this?")
ANSWERS = (*COLOURS, *KINDS)


def caption(shape: Shape) -> str:
    article = "an" if shape.colour[0] in "aeiou" else "a"
    return f"{article} {shape.colour} {shape.kind}"


def question(dice: random.Random, shape: Shape) -> tuple[str, str]:
    """A question about ``shape``, and its answer."""
    if dice.random() < 0.5:
        asked = dice.choice(COLOUR_QUESTIONS).format(kind=shape.kind)
        return asked.replace("color", dice.choice(("color", "colour"))), shape.colour
    return dice.choice(KIND_QUESTIONS), shape.kind
