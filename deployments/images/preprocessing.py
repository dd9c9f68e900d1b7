"""One image through its model's own processor, whose failures are told apart by whose they are."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

from PIL import Image

from deployments.images.decode import Picture
from deployments.seam.problems import Problem

logger = logging.getLogger(__name__)

T = TypeVar("T")

INPUT_ERRORS = (
    ValueError,
    TypeError,
    ArithmeticError,
    IndexError,
    RuntimeError,
    OSError,
    MemoryError,
    struct.error,
)
"""What processors raise for an image, or a text, that they cannot read: a side that rounds to
nothing, a shape that no array has, a mark for an image too many. Other exceptions are mistakes."""

CONTROL = Image.new("RGB", (64, 48), (128, 128, 128))
"""An image that every model can read."""

MAX_SCALED_PIXELS = 16_000_000
LONG_BOUNDS = ("longest_edge", "max_height", "max_width", "max_pixels")

TEXTS = ("question", "prompt")
CONTROL_TEXT = "what?"


def preprocessed(
    preprocess: Callable[[Picture, Any], T], image: Picture, request: Any
) -> T | Problem:
    """``preprocess(image, request)``, or a problem that names the image or text at fault.

    It is the image's where an ordinary one passes in its place, and the text's where an ordinary
    one passes in its place. Where neither passes, it is nobody's input: the failure is raised.
    """
    try:
        return preprocess(image, request)
    except NotImplementedError:
        raise
    except INPUT_ERRORS as error:
        problem = _problem(preprocess, image, request)
        if problem is None:
            raise
        logger.info("%s: %s: %s", problem.message, type(error).__name__, error)
        return problem


def refuse_elongated(
    preprocess: Callable[[Picture, Any], T], processor: Any
) -> Callable[[Picture, Any], T | Problem]:
    """``preprocess`` without images that the processor would blow up before it cuts them.

    One that scales the shorter side to a length, and has no bound for the longer one, makes a
    thousand million pixels of 20,000 x 1.
    """
    shortest = _shortest_edge(getattr(processor, "image_processor", processor))

    def seen(image: Picture, request: Any) -> T | Problem:
        short, long = sorted(image.size)
        if shortest is not None and shortest * shortest * long > MAX_SCALED_PIXELS * short:
            width, height = image.size
            message = f"an image of {width} x {height} pixels is too long and thin for the model"
            return Problem("validation", message, "image")
        return preprocess(image, request)

    return seen


def _shortest_edge(images: Any) -> int | None:
    """What a processor scales the shorter side to, where nothing bounds the longer one."""
    size = getattr(images, "size", None)
    if size is None or not getattr(images, "do_resize", True):
        return None
    bounds = {name: getattr(size, name, None) for name in ("shortest_edge", *LONG_BOUNDS)}
    return None if any(bounds[name] for name in LONG_BOUNDS) else bounds["shortest_edge"]


def _problem(
    preprocess: Callable[[Picture, Any], Any], image: Picture, request: Any
) -> Problem | None:
    if _passes(preprocess, CONTROL, request):
        width, height = image.size
        message = f"the model cannot read an image of {width} x {height} pixels"
        return Problem("validation", message, "image")
    text = next((each.name for each in fields(request) if each.name in TEXTS), None)
    if text is None or getattr(request, text) is None:
        return None
    if _passes(preprocess, CONTROL, replace(request, **{text: CONTROL_TEXT})):
        return Problem("validation", f"the model cannot read this {text}", text)
    return None


def _passes(preprocess: Callable[[Picture, Any], Any], image: Picture, request: Any) -> bool:
    try:
        preprocess(image, request)
    except INPUT_ERRORS:
        return False
    return True
