"""Calls a model's own image processor, and finds out whether the image or the text made it fail."""

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
"""Exceptions that processors raise for an image or a text that they cannot process: a side that
rounds to zero, an impossible shape, an image token too many. Other exceptions are bugs."""

CONTROL = Image.new("RGB", (64, 48), (128, 128, 128))
"""An image that every model can process."""

MAX_SCALED_PIXELS = 16_000_000
"""An image that its processor would scale to more pixels than this is refused."""

LONG_BOUNDS = ("longest_edge", "max_height", "max_width", "max_pixels")

TEXTS = ("question", "prompt")
CONTROL_TEXT = "what?"


def preprocessed(
    preprocess: Callable[[Picture, Any], T], image: Picture, request: Any
) -> T | Problem:
    """``preprocess(image, request)``, or a problem that names the image or text at fault.

    After a failure it is tried with an ordinary image, then with an ordinary text as well. The
    input whose replacement helps is at fault; if nothing helps, the error is raised.
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
    """``preprocess``, with a problem for long and thin images that would be scaled up too far.

    A processor that scales the shorter side to a fixed length, with no bound on the longer one,
    would make a billion pixels of an image of 20,000 x 1, before it crops them.
    """
    shortest = _shortest_edge(getattr(processor, "image_processor", processor))

    def checked(image: Picture, request: Any) -> T | Problem:
        short, long = sorted(image.size)
        if shortest is not None and shortest * shortest * long > MAX_SCALED_PIXELS * short:
            width, height = image.size
            message = f"an image of {width} x {height} pixels is too long and thin for the model"
            return Problem("validation", message, "image")
        return preprocess(image, request)

    return checked


def _shortest_edge(images: Any) -> int | None:
    """The length that the shorter side is scaled to, if nothing bounds the longer one."""
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
