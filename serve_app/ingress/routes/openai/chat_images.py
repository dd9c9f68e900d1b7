"""The images of a chat's messages: how many there are, and their checked files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from deployments.seam.generation import ChatImage, ChatMessage
from serve_app.ingress.errors import ValidationFailed
from serve_app.ingress.images import IMAGE
from serve_app.ingress.routes.context import Services
from serve_app.ingress.routes.openai.messages import Message


def image_needs(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """The field of each image, and the capability that it needs of a model."""
    for index, message in enumerate(messages):
        for part, _, _ in message.images:
            yield f"messages.{index}.content.{part}", "images"


async def with_images(messages: Sequence[Message], services: Services) -> tuple[ChatMessage, ...]:
    """The messages with the files of their images.

    Raises :class:`ValidationFailed` for too many images, and what
    :meth:`serve_app.ingress.file_intake.FileIntake.received` raises.
    """
    count = sum(1 for message in messages for _ in message.images)
    if count > services.settings.max_chat_images:
        limit = services.settings.max_chat_images
        message = f"A chat has at most {limit} images, not {count}."
        raise ValidationFailed(message, field="messages")
    files = iter(await _files(messages, services) if count else ())
    return tuple(
        each.plain(tuple(ChatImage(next(files), offset) for _, offset, _ in each.images))
        for each in messages
    )


async def _files(messages: Sequence[Message], services: Services) -> list[bytes]:
    """The files of all images; those named by a URL are fetched at the same time."""
    pending = [
        asyncio.ensure_future(
            services.files.received(
                url,
                IMAGE,
                services.settings,
                f"messages.{index}.content.{part}.image_url.url",
            )
        )
        for index, message in enumerate(messages)
        for part, _, url in message.images
    ]
    try:
        return await asyncio.gather(*pending)
    finally:
        for each in pending:
            each.cancel()
