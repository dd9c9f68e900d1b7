"""Chats with images as prompts: files are decoded in a few threads, and what waits is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from configs.settings import Settings
from deployments.batching.preparation import Preparation
from deployments.batching.reserved_bytes import ReservedBytes
from deployments.batching.tuning import SMALL_PIXELS
from deployments.engine.image_inputs import ImageInputs, nbytes
from deployments.engine.interface import Engine
from deployments.engine.prompts import template_variables
from deployments.engine.sequence import Arrays
from deployments.images.decode import DAMAGED, Picture, decode_encoded
from deployments.images.preprocessing import INPUT_ERRORS
from deployments.models.errors import Overloaded
from deployments.models.memory import trim
from deployments.seam.generation import GenerationRequest
from deployments.seam.image_files.encoded import (
    DECODE_ERRORS,
    EncodedImage,
    ignore_pillow_warnings,
)
from deployments.seam.problems import Problem

CUTTING = ("truncate", "trim_oldest", "keep_last")
"""Fields of a request that cut its prompt, which would cut the places of images."""


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """The token ids of a chat, and the tensors of its images."""

    ids: list[int]
    inputs: Arrays


class ImagePrompts:
    """Makes prompts of chats with images, in threads of its own.

    The files and tensors of all requests have at most the settings' ``max_waiting_bytes``.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_pixels = settings.max_image_pixels
        self._preparation = Preparation(settings.image_threads, self._max_pixels)
        self._max_waiting_pixels = settings.max_waiting_pixels
        self._reserved = ReservedBytes(settings.max_waiting_bytes, "images")
        ignore_pillow_warnings()

    def reserve_files(self, request: GenerationRequest) -> AbstractContextManager[None]:
        """Count the request's files while the block runs. Raises :class:`Overloaded`."""
        size = _file_bytes(request)
        return self._reserved.reserve(request.model, size) if size else nullcontext()

    def reserve_tensors(
        self, request: GenerationRequest, inputs: Arrays
    ) -> AbstractContextManager[None]:
        """Count the tensors of each choice, and the files, while the block runs.

        Raises :class:`Overloaded`.
        """
        size = nbytes(inputs) * request.choices + _file_bytes(request)
        return self._reserved.reserve(request.model, size) if size else nullcontext()

    async def encode(self, engine: Engine, request: GenerationRequest) -> ImagePrompt | Problem:
        """The prompt of a chat with images. Raises :class:`Overloaded`."""
        images = engine.codec.images
        if images is None:
            return Problem("validation", "the model reads no images", "prompt")
        if cut := next((name for name in CUTTING if getattr(request, name)), None):
            return Problem("validation", "a chat with images cannot be cut", cut)
        opened = await self._preparation.run(0, _opened, request)
        if isinstance(opened, Problem):
            return opened
        pixels = sum(each.pixels for each in opened)
        if pixels > self._max_pixels:
            message = f"the images have {pixels} pixels together; the limit is {self._max_pixels}"
            return Problem("validation", message, "prompt")
        waiting = self._preparation.waiting_pixels
        if waiting and waiting + pixels > self._max_waiting_pixels:
            raise Overloaded(request.model, "large images")
        encode = _encode if pixels <= SMALL_PIXELS else _encode_and_trim
        return await self._preparation.run(pixels, encode, images, engine, request, opened)


def _file_bytes(request: GenerationRequest) -> int:
    return sum(len(file) for file in request.images)


def _opened(request: GenerationRequest) -> list[EncodedImage] | Problem:
    try:
        return [EncodedImage(file) for file in request.images]
    except DECODE_ERRORS:
        return Problem(DAMAGED.kind, DAMAGED.message, "prompt")


def _encode(
    images: ImageInputs,
    engine: Engine,
    request: GenerationRequest,
    opened: Sequence[EncodedImage],
) -> ImagePrompt | Problem:
    variables = template_variables(engine, request)
    if isinstance(variables, Problem):
        return variables
    try:
        text = engine.codec.render_chat(request.messages or (), request.tools, variables)
    except ValueError as error:
        return Problem("validation", str(error), "prompt")
    try:
        pictures = [decode_encoded(each) for each in opened]
    except DECODE_ERRORS:
        return Problem(DAMAGED.kind, DAMAGED.message, "prompt")
    return _read(images, text, pictures)


def _encode_and_trim(
    images: ImageInputs,
    engine: Engine,
    request: GenerationRequest,
    opened: Sequence[EncodedImage],
) -> ImagePrompt | Problem:
    """Encode, then return free memory, which the thread would keep, to the system."""
    try:
        return _encode(images, engine, request, opened)
    finally:
        trim()


def _read(images: ImageInputs, text: str, pictures: Sequence[Picture]) -> ImagePrompt | Problem:
    problem = images.problem(text, pictures)
    if problem is not None:
        return problem
    try:
        return ImagePrompt(*images.encode(text, pictures))
    except INPUT_ERRORS:
        problem = images.unreadable(text, pictures)
        if problem is None:
            raise
        return problem
